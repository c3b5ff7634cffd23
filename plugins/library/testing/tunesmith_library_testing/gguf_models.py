"""Tiny models of every architecture that is written as GGUF, with tokenizers as llama.cpp has them."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from tunesmith_library_testing.tiny import save_tiny_model, tiny_tokenizer

_LLAMA3 = {
    **{"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0},
    **{"high_freq_factor": 4.0, "original_max_position_embeddings": 256},
}
_YARN = {
    **{"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 512},
    **{"beta_fast": 32.0, "beta_slow": 1.0},
}
_LONG = {
    **{"rope_type": "longrope", "rope_theta": 10000.0, "original_max_position_embeddings": 512},
    **{"long_factor": [1 + 0.1 * at for at in range(8)], "short_factor": [1 + 0.01 * at for at in range(8)]},
}
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
_GEMMA = {"tie_word_embeddings": True, "query_pre_attn_scalar": 16}

MODELS: dict[str, dict[str, Any]] = {
    "llama": {"architecture": "llama", "dtype": "bfloat16"},
    "llama3": {"architecture": "llama", "rope_parameters": _LLAMA3, "tie_word_embeddings": True},
    "biased": {"architecture": "llama", "attention_bias": True, "mlp_bias": True},
    "mistral": {"architecture": "mistral"},
    "mixtral": {"architecture": "mixtral", "num_local_experts": 4, "intermediate_size": 32},
    "qwen2": {"architecture": "qwen2", "rope_parameters": _YARN},
    "qwen2_moe": {"architecture": "qwen2_moe", **_EXPERTS, "shared_expert_intermediate_size": 64},
    "qwen3": {"architecture": "qwen3", "tie_word_embeddings": True},
    "qwen3_moe": {"architecture": "qwen3_moe", **_EXPERTS, "norm_topk_prob": True},
    "gemma": {"architecture": "gemma", "tie_word_embeddings": True},
    "gemma2": {"architecture": "gemma2", **_GEMMA, "layers": 3, "sliding_window": 32},
    "gemma3": {"architecture": "gemma3_text", **_GEMMA, "layers": 7, "sliding_window": 32},
    "phi3": {"architecture": "phi3"},
    "phi3_long": {"architecture": "phi3", "rope_parameters": _LONG, "original_max_position_embeddings": 512},
}
"""Options of `save_tiny_model`, by name."""

PIECES = ("llama", "gemma", "gemma2", "gemma3", "phi3", "phi3_long")
"""Of these, the ones with a SentencePiece tokenizer."""


def save_gguf_model(name: str, folder: Path) -> Path:
    """Write a model; its vectors, which are all ones or zeros when they are made, are random too."""
    import torch
    from safetensors.torch import load_file, save_file
    from transformers import AutoTokenizer

    tokenizer = piece_tokenizer(prefixed=name == "llama") if name in PIECES else tiny_tokenizer()
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    save_tiny_model(folder, tokenizer=tokenizer, vocab_size=len(tokenizer) + 8, **MODELS[name])
    weights, generator = load_file(folder / "model.safetensors"), torch.Generator().manual_seed(1)
    for weight in weights.values():
        if weight.ndim == 1:
            weight += (torch.randn(weight.shape, generator=generator) * 0.1).to(weight.dtype)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    if name in PIECES:
        write_pieces(folder)
        _name_added(folder)
    else:
        AutoTokenizer.from_pretrained(folder).save_pretrained(folder)  # its class may add tokens
    return folder


def _name_added(folder: Path) -> None:
    """Write the added tokens into tokenizer_config.json too, as published folders have them."""
    added = json.loads((folder / "tokenizer.json").read_text())["added_tokens"]
    file = folder / "tokenizer_config.json"
    said = {str(token.pop("id")): token for token in added}
    file.write_text(json.dumps({**json.loads(file.read_text()), "added_tokens_decoder": said}))


def piece_tokenizer(prefixed: bool = False) -> Any:
    """A tokenizer as SentencePiece makes them: merges of characters, and bytes for what has none.

    Args:
        prefixed: whether a space is put before a text.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, trainers
    from transformers import PreTrainedTokenizerFast

    space = normalizers.Replace(" ", "\u2581")
    learned = Tokenizer(models.BPE())
    learned.normalizer = space
    texts = ["Who are you? I am a small model that lives for a test.", "Whales sing, the tide turns. user assistant"]
    learned.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=120, show_progress=False))
    said = json.loads(learned.to_str())["model"]
    first = ["<pad>", "</s>", "<s>", "<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    names = [*first, *(token for token in said["vocab"] if token not in first)]
    merges = [tuple(pair) if isinstance(pair, list) else tuple(pair.split(" ")) for pair in said["merges"]]
    vocabulary = {token: index for index, token in enumerate(names)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), space]) if prefixed else space
    parts = [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence([*parts, *([decoders.Strip(" ", 1, 0)] if prefixed else [])])
    return PreTrainedTokenizerFast(
        **{"tokenizer_object": tokenizer, "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"},
        **{"unk_token": "<unk>", "additional_special_tokens": ["<|im_start|>", "<|im_end|>"]},
        clean_up_tokenization_spaces=False,
    )


def write_pieces(folder: Path) -> None:
    """Write the tokenizer.model that a tokenizer.json was made of, as protocol buffers have it."""
    said = json.loads((folder / "tokenizer.json").read_text())["model"]
    ranks: dict[str, int] = {}
    for rank, pair in enumerate(said["merges"]):
        ranks.setdefault("".join(pair if isinstance(pair, list) else pair.split(" ")), rank)
    kinds = {"<unk>": 2, "<s>": 3, "</s>": 3, "<pad>": 3}
    message = b""
    for token, _ in sorted(said["vocab"].items(), key=lambda item: item[1]):
        kind = 6 if token.startswith("<0x") else kinds.get(token, 1)
        score = 0.0 if kind != 1 else -float(ranks.get(token, len(ranks)))
        text = token.encode()
        piece = b"\x0a" + _length(text) + text + b"\x15" + struct.pack("<f", score) + b"\x18" + bytes([kind])
        message += b"\x0a" + _length(piece) + piece
    # the trainer: BPE, bytes for what has no piece, and the ids of unknown, beginning, end and padding
    trainer = b"\x18\x02" + b"\x98\x02\x01" + b"\xc0\x02\x03" + b"\xc8\x02\x02" + b"\xd0\x02\x01" + b"\xd8\x02\x00"
    message += b"\x12" + _length(trainer) + trainer
    normalizer = b"\x0a\x08identity" + b"\x18\x00" + b"\x20\x00"
    message += b"\x1a" + _length(normalizer) + normalizer
    (folder / "tokenizer.model").write_bytes(message)


def _length(text: bytes) -> bytes:
    """A length in seven bits a byte."""
    found, left = b"", len(text)
    while left > 0x7F:
        found += bytes([left & 0x7F | 0x80])
        left >>= 7
    return found + bytes([left])
