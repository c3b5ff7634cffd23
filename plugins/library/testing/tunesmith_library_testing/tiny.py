"""Tiny models and tokenizers, made on the spot: real transformers objects, random weights, no download."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

SPECIAL_TOKENS = ("<s>", "</s>", "<pad>", "<|im_start|>", "<|im_end|>")
_TEXTS = (
    "Who are you? I am a small model that lives for a test.",
    "Whales sing, the tide turns, and nobody counts the waves twice.",
    "你好，我是一个很小的模型。",
    '{"name": "add", "arguments": {"a": 1, "b": 2}}',
)


def tiny_tokenizer(texts: Iterable[str] = _TEXTS, vocab_size: int = 512) -> Any:
    """Train a byte-level BPE tokenizer that can write any text.

    Args:
        texts: what its merges are learned from.
        vocab_size: at most so many tokens; at least 256 bytes and the special tokens.

    Returns: a transformers fast tokenizer with `<s>`, `</s>`, `<pad>` and the ChatML tokens, without chat template.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        additional_special_tokens=["<|im_start|>", "<|im_end|>"],
        clean_up_tokenization_spaces=False,
    )


def save_tiny_model(
    folder: Path,
    *,
    architecture: str = "llama",
    hidden_size: int = 64,
    layers: int = 2,
    dtype: str = "float32",
    seed: int = 0,
    tokenizer: Any = None,
    **config: Any,
) -> Path:
    """Write a causal language model with random weights and a tokenizer, as a hub would give it.

    Args:
        folder: is made.
        architecture: transformers' model type: `llama`, `qwen2`, `qwen3`, `mistral`, `gemma2`, …
        hidden_size: of the residual stream; heads are 16 wide.
        dtype: of the saved weights.
        tokenizer: a `tiny_tokenizer()` when None.
        config: further options of the architecture's configuration.

    Returns: the folder.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    tokenizer = tokenizer or tiny_tokenizer()
    settings = {
        "vocab_size": len(tokenizer),
        "hidden_size": hidden_size,
        "intermediate_size": hidden_size * 2,
        "num_hidden_layers": layers,
        "num_attention_heads": hidden_size // 16,
        "num_key_value_heads": max(hidden_size // 32, 1),
        "head_dim": 16,
        "max_position_embeddings": 2048,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "tie_word_embeddings": False,
        **config,
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(architecture, **settings))
    model.to(getattr(torch, dtype)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
