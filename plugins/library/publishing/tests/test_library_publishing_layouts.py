"""Bases of further architectures, some with the names of files from before transformers renamed modules."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tunesmith_library_publishing import adapters
from tunesmith_library_publishing.whole import base_of, save_whole
from tunesmith_library_testing.parts import CHATML

pytestmark = pytest.mark.slow

TEXT = {
    **{"vocab_size": 400, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "head_dim": 16},
    **{"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256},
    **{"pad_token_id": 2, "bos_token_id": 0, "eos_token_id": 1},
}
ROPE = {"rope_type": "default", "rope_theta": 10000.0}
MROPE = {**ROPE, "mrope_section": [4, 2, 2]}
EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
TOWER = {"depth": 1, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 64, "patch_size": 4}
CLIP = {
    **{"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2},
    **{"image_size": 16, "patch_size": 4},
}
TOKENS = {"image_token_id": 3, "video_token_id": 3, "vision_start_token_id": 3, "vision_end_token_id": 4}
LINEAR = {
    **{"layer_types": ["linear_attention", "full_attention"], "linear_num_key_heads": 2, "linear_num_value_heads": 4},
    **{"linear_key_head_dim": 16, "linear_value_head_dim": 16, "num_experts": 4, "num_experts_per_tok": 2},
    **{"moe_intermediate_size": 32, "shared_expert_intermediate_size": 32},
}
FORMER_VISION = [
    *((r"^model\.language_model\.", "language_model.model."), (r"^model\.vision_tower\.", "vision_tower.")),
    *((r"^model\.multi_modal_projector", "multi_modal_projector"), (r"^lm_head", "language_model.lm_head")),
]
CASES: dict[str, tuple[str, dict[str, Any], list[tuple[str, str]]]] = {
    "qwen2_5_vl": (
        "Qwen2_5_VLForConditionalGeneration",
        {
            "text_config": {**TEXT, "rope_parameters": MROPE},
            "vision_config": {**TOWER, "fullatt_block_indexes": [0]},
            **TOKENS,
        },
        [(r"^model\.visual\.", "visual."), (r"^model\.language_model\.", "model.")],
    ),
    "gemma3": (
        "Gemma3ForConditionalGeneration",
        {"text_config": TEXT, "vision_config": CLIP, "mm_tokens_per_image": 4, "image_token_index": 3},
        FORMER_VISION,
    ),
    "mixtral": ("MixtralForCausalLM", {**TEXT, **EXPERTS}, []),
    "gpt_oss": ("GptOssForCausalLM", {**TEXT, **EXPERTS}, []),
    "llama4": (
        "Llama4ForConditionalGeneration",
        {
            "text_config": {
                **{**TEXT, "intermediate_size_mlp": 128, "num_local_experts": 2, "num_experts_per_tok": 1},
                **{"moe_layers": [1], "interleave_moe_layer_step": 2},
            },
            "vision_config": {
                **{**CLIP, "vision_output_dim": 32, "projector_input_dim": 32, "projector_output_dim": 32},
            },
        },
        [],
    ),
    "mllama": (
        "MllamaForConditionalGeneration",
        {
            "text_config": {**TEXT, "cross_attention_layers": [1], "rope_parameters": ROPE},
            "vision_config": {
                **{"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_global_layers": 1},
                **{"attention_heads": 2, "image_size": 16, "patch_size": 4, "max_num_tiles": 2},
                **{"intermediate_layers_indices": [0], "supported_aspect_ratios": [[1, 1], [1, 2], [2, 1]]},
                **{"vision_output_dim": 64},
            },
        },
        [],
    ),
    "qwen3_5_moe": (
        "Qwen3_5MoeForConditionalGeneration",
        {
            "text_config": {
                **{**TEXT, **LINEAR, "head_dim": 32, "rope_parameters": {**MROPE, "mrope_interleaved": True}},
            },
            "vision_config": {**TOWER, "num_position_embeddings": 16},
            **TOKENS,
        },
        [],
    ),
    "qwen3_next": ("Qwen3NextForCausalLM", {**TEXT, **LINEAR}, []),
    "deepseek_v3": (
        "DeepseekV3ForCausalLM",
        {
            **{name: value for name, value in TEXT.items() if name != "head_dim"},
            **{"n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 1, "topk_group": 1, "n_shared_experts": 1},
            **{"moe_intermediate_size": 32, "first_k_dense_replace": 1, "kv_lora_rank": 16, "q_lora_rank": 16},
            **{"qk_nope_head_dim": 16, "qk_rope_head_dim": 16, "v_head_dim": 16},
        },
        [],
    ),
}


def publish(folder: Path, kind: str, tokenizer: Any) -> None:
    """A base of this architecture, with names as they were when such models were published."""
    import transformers

    class_name, config, former = CASES[kind]
    torch.manual_seed(0)
    model = getattr(transformers, class_name)(transformers.AutoConfig.for_model(kind, **config))
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    renamed = {}
    for name, tensor in load_file(folder / "model.safetensors").items():
        for pattern, replacement in former:
            name = re.sub(pattern, replacement, name)
        renamed[name] = tensor.clone()
    save_file(renamed, folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize("kind", CASES)
def test_loaded_and_written_again(kind: str, tiny_bpe: Any, tmp_path: Path) -> None:
    """Every tensor has its former name and bytes, but one that was changed; the configuration is the same."""
    loading = pytest.importorskip("tunesmith_model_transformers.loading")
    from transformers import AutoConfig

    base, out = tmp_path / "base", tmp_path / "out"
    publish(base, kind, tiny_bpe)
    config = AutoConfig.from_pretrained(base)
    model = loading._loader(config, tiny_bpe).from_pretrained(base, config=config, dtype=torch.float32)
    weight = next(weight for name, weight in model.named_parameters() if re.search(r"layers\.1\.\w*attn\.o_proj", name))
    weight.data += 1
    out.mkdir()
    assert base_of(model) == base
    result = save_whole(model, tiny_bpe, CHATML.bind(tiny_bpe), base, out)
    before, after = load_file(base / "model.safetensors"), load_file(out / "model.safetensors")
    assert after.keys() == before.keys()
    (changed,) = (key for key in before if not torch.equal(before[key], after[key]))
    assert result.tensors.changed == (changed,) and torch.equal(after[changed], before[changed].float() + 1)
    assert json.loads((out / "config.json").read_text()) == json.loads((base / "config.json").read_text())
    again = type(model).from_pretrained(out, dtype=torch.float32).state_dict()
    assert all(torch.equal(tensor, again[key]) for key, tensor in model.state_dict().items())
    names = adapters.names_for(model)
    if names is not None:
        modules = [module for module, _ in model.named_modules() if "." in module]
        assert all(names.published(module) in names.modules for module in modules)
        assert [names.loaded(names.published(module)) for module in modules] == modules
        compare_adapted(model, base, tmp_path / "adapter")


def compare_adapted(model: Any, base: Path, folder: Path) -> None:
    """An adapter of the loaded class, over the published one: the same logits, by peft alone."""
    import transformers
    from peft import LoraConfig, PeftModel, get_peft_model

    model = type(model).from_pretrained(base, dtype=torch.float32)
    model.name_or_path = str(base)
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj", "o_proj"], init_lora_weights=False))
    adapted.save_pretrained(folder)
    adapters.publish(adapted, folder)
    (name,) = json.loads((base / "config.json").read_text())["architectures"]
    whole = getattr(transformers, name).from_pretrained(base, dtype=torch.float32)
    ids = torch.tensor([[7, 11, 13, 17, 19, 23]])
    with torch.no_grad():
        plain = whole.eval()(input_ids=ids).logits
        expected = adapted.eval()(input_ids=ids).logits
        found = PeftModel.from_pretrained(whole, str(folder)).eval()(input_ids=ids).logits
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    assert (found - plain).abs().max() > 0.01
