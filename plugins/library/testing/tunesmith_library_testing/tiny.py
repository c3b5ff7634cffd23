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


MIXTURES: dict[str, dict[str, Any]] = {
    "qwen3_moe": {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32},
    "mixtral": {"num_local_experts": 4, "intermediate_size": 32},
    # (experts, in, out), with biases
    "gpt_oss": {"num_local_experts": 4, "num_experts_per_tok": 2, "intermediate_size": 32, "rope_parameters": None},
}
"""Mixtures of experts of different layouts, by model type: what `save_tiny_mixture` is given."""


def save_tiny_mixture(folder: Path, architecture: str, **config: Any) -> Path:
    """Write a tiny mixture of experts as `save_tiny_model` does; biases are random too.

    Args:
        architecture: one of `MIXTURES`.
        config: further options of the architecture's configuration.
    """
    import torch
    from safetensors.torch import load_file, save_file

    save_tiny_model(folder, architecture=architecture, **{**MIXTURES[architecture], **config})
    file, generator = folder / "model.safetensors", torch.Generator().manual_seed(1)
    weights = load_file(file)
    for name, weight in weights.items():
        if name.endswith("bias"):
            weight.normal_(std=0.1, generator=generator)
    save_file(weights, file, {"format": "pt"})
    return folder


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


LAYOUTS = ("dense_tied", "dense", "moe", "hybrid", "vision", "vision_hybrid")
"""What `save_published_model` makes: one model per way in which published models hold their weights."""


def save_published_model(folder: Path, layout: str, *, dtype: str = "bfloat16", tokenizer: Any = None) -> Path:
    """Write a tiny model as publishers do: their class and tensors, those included that no class of transformers loads.

    Args:
        layout: `dense_tied` (Qwen3, head and embeddings one tensor), `dense` (Llama), `moe` (Qwen3-MoE, a tensor per
            expert), `hybrid` (Falcon-H1, attention beside a state space), `vision` (Qwen3-VL), `vision_hybrid`
            (Qwen3.5: attention between linear layers, a vision tower, a head that predicts several tokens, some
            tensors in float32, two files with an index).

    Returns: the folder, with a licence, a model card and the files of its kind beside the weights.
    """
    import torch
    import transformers

    tokenizer = tokenizer or tiny_tokenizer()
    kind, class_name, config = _described(layout, tokenizer)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = getattr(transformers, class_name)(transformers.AutoConfig.for_model(kind, **config))
        extra = {f"mtp.{name}.weight": torch.randn(64, 64) for name in ("fc", "layers.0.q_proj")}
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.to(getattr(torch, dtype)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for name, text in {"LICENSE": "Apache-2.0", "README.md": "# A tiny model", "NOTICE.txt": "Tiny."}.items():
        (folder / name).write_text(text + "\n", encoding="utf-8")
    if layout == "vision_hybrid":
        _publish_beside(folder, {name: weight.to(model.dtype) for name, weight in extra.items()})
    return folder


def _described(layout: str, tokenizer: Any) -> tuple[str, str, dict[str, Any]]:
    """transformers' model type and class of a layout, and the configuration."""
    ids = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    text = {
        **{"vocab_size": len(tokenizer), "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2},
        **{"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 2048},
        **{"tie_word_embeddings": layout == "dense_tied", **ids},
    }
    if layout in ("dense", "dense_tied"):
        return ("llama", "LlamaForCausalLM", text) if layout == "dense" else ("qwen3", "Qwen3ForCausalLM", text)
    if layout == "moe":
        return (
            "qwen3_moe",
            "Qwen3MoeForCausalLM",
            text | {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32},
        )
    if layout == "hybrid":
        sizes = {"mamba_d_ssm": 64, "mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 16, "mamba_chunk_size": 16}
        return "falcon_h1", "FalconH1ForCausalLM", text | sizes
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 2, 2], "mrope_interleaved": True}
    text |= {"rope_parameters": rope, "vocab_size": len(tokenizer) + 8}  # rows without tokens, as larger models have
    vision = {"depth": 1, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 64}
    vision |= {"patch_size": 4, "num_position_embeddings": 16}
    tokens = {"image_token_id": 3, "video_token_id": 3, "vision_start_token_id": 3, "vision_end_token_id": 4}
    if layout == "vision":
        both = {"text_config": text, "vision_config": vision | {"deepstack_visual_indexes": [0]}, **tokens}
        return "qwen3_vl", "Qwen3VLForConditionalGeneration", both
    heads = {"linear_num_key_heads": 2, "linear_num_value_heads": 4}
    text |= {**heads, "linear_key_head_dim": 16, "linear_value_head_dim": 16, "head_dim": 32}
    text["layer_types"] = ["linear_attention", "full_attention"]
    return "qwen3_5", "Qwen3_5ForConditionalGeneration", {"text_config": text, "vision_config": vision, **tokens}


def _publish_beside(folder: Path, extra: dict[str, Any]) -> None:
    """Add tensors that no class loads, keep some in float32, split in two files, and add what reads images."""
    import json

    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    weights = {name: weight.float() if name.endswith("A_log") else weight for name, weight in weights.items()} | extra
    names = sorted(weights)
    files = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, part in files.items():
        save_file({name: weights[name] for name in part}, folder / file, {"format": "pt"})
    index = {"metadata": {}, "weight_map": {name: file for file, part in files.items() for name in part}}
    images = {"image_processor_type": "Qwen2VLImageProcessor", "patch_size": 4, "merge_size": 2}
    videos = {"video_processor_type": "Qwen3VLVideoProcessor", "patch_size": 4, "merge_size": 2}
    written = {"model.safetensors.index": index, "preprocessor_config": images, "video_preprocessor_config": videos}
    for name, value in written.items():
        (folder / f"{name}.json").write_text(json.dumps(value, indent=2), encoding="utf-8")
