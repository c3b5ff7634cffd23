"""Tiny GGUF files, written from tiny models by the names that llama.cpp has for their tensors. For whoever runs such
files; the exporter that writes them is compared with llama.cpp's own converter instead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "block_sparse_moe.gate": "ffn_gate_inp",
}
_EXPERTS = {"w1": "ffn_gate_exps", "w2": "ffn_down_exps", "w3": "ffn_up_exps"}
_NORMAL, _CONTROL = 1, 3  # llama.cpp's types of a token


def save_tiny_gguf(folder: Path, target: Path, *, template: str | None = None, **metadata: str) -> Path:
    """Write a tiny Llama or Mixtral as a GGUF file in float32.

    Args:
        folder: of `save_tiny_model`, or `save_tiny_mixture`.
        template: the chat template in Jinja.
        metadata: further texts, by key; a dot is written as two underscores.

    Returns: the target.
    """
    import gguf
    from safetensors.numpy import load_file
    from transformers import AutoConfig, AutoTokenizer

    config, tokenizer = AutoConfig.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    writer = gguf.GGUFWriter(target, "llama")
    writer.add_name("tiny")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    if hasattr(config, "num_local_experts"):
        writer.add_expert_count(config.num_local_experts)
        writer.add_expert_used_count(config.num_experts_per_tok)
    _add_vocabulary(writer, tokenizer, config.eos_token_id)
    if template is not None:
        writer.add_chat_template(template)
    for key, value in metadata.items():
        writer.add_string(key.replace("__", "."), value)
    for name, values in _tensors(load_file(folder / "model.safetensors"), config):
        writer.add_tensor(name, values)
    return _written(writer, target)


def save_tiny_lora(
    folder: Path, target: Path, *, rank: int = 2, seed: int = 0, alpha: float = 4.0
) -> Mapping[str, Any]:
    """Write LoRA weights for every `v_proj` and `down_proj` of a tiny Llama as a GGUF file.

    Args:
        folder: of the model.

    Returns: what they add to the model's weights, float32 arrays by transformers' name.
    """
    import gguf
    import numpy
    from safetensors.numpy import load_file

    random, added = numpy.random.default_rng(seed), {}
    writer = gguf.GGUFWriter(target, "llama")
    writer.add_string("general.type", "adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", alpha)
    for name, weight in load_file(folder / "model.safetensors").items():
        if not name.endswith(("v_proj.weight", "down_proj.weight")):
            continue
        a = random.normal(size=(rank, weight.shape[1])).astype(numpy.float32)
        b = random.normal(size=(weight.shape[0], rank)).astype(numpy.float32)
        writer.add_tensor(f"{_name(name)}.lora_a", a)
        writer.add_tensor(f"{_name(name)}.lora_b", b)
        added[name] = b @ a * (alpha / rank)
    _written(writer, target)
    return added


def _add_vocabulary(writer: Any, tokenizer: Any, end: int | None) -> None:
    import json

    described = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    special = set(tokenizer.all_special_ids)
    tokens = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([_CONTROL if token in special else _NORMAL for token in range(len(tokens))])
    writer.add_token_merges([" ".join(merge) if isinstance(merge, list) else merge for merge in described["merges"]])
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id if end is None else end)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    writer.add_add_bos_token(False)


def _tensors(weights: Mapping[str, Any], config: Any) -> Iterator[tuple[str, Any]]:
    import numpy

    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    experts: dict[str, dict[int, Any]] = {}
    for name, values in weights.items():
        parts = name.split(".")
        if "experts" in parts:
            stacked = experts.setdefault(f"blk.{parts[2]}.{_EXPERTS[parts[-2]]}.weight", {})
            stacked[int(parts[-3])] = values
            continue
        turned = heads.get(parts[-2])
        yield _name(name), values if turned is None else _turned(values, turned)
    for name, stacked in experts.items():
        yield name, numpy.stack([stacked[number] for number in sorted(stacked)])


def _turned(values: Any, heads: int) -> Any:
    """A projection whose rotated pairs lie beside each other, as llama.cpp has them; transformers has halves."""
    rows, columns = values.shape
    halves = values.reshape(heads, 2, rows // heads // 2, columns)
    return halves.swapaxes(1, 2).reshape(rows, columns).copy()


def _name(name: str) -> str:
    plain = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    stem = name.removesuffix(".weight")
    if stem in plain:
        return f"{plain[stem]}.weight"
    _, _, layer, part = stem.split(".", 3)
    return f"blk.{layer}.{_NAMES[part]}.weight"


def _written(writer: Any, target: Path) -> Path:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target
