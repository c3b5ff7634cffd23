"""Every name and shape against transformers' own modules, and the operations against PyTorch's counter."""

import json

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    MODEL_FOR_MULTIMODAL_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForMultimodalLM,
)
from transformers.pytorch_utils import Conv1D
from tunesmith_library_estimates.architectures import decoder
from tunesmith_library_weights.towers import parts_in

WHOLE = (
    (AutoModelForImageTextToText, MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING),
    (AutoModelForMultimodalLM, MODEL_FOR_MULTIMODAL_LM_MAPPING),
)

SIZES = {
    "vocab_size": 97,
    "hidden_size": 80,
    "intermediate_size": 112,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 24,
    "num_experts": 6,
    "num_local_experts": 6,
    "n_routed_experts": 6,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 44,
    "shared_expert_intermediate_size": 36,
    "n_positions": 72,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
TOWER = {
    **{"hidden_size": 88, "intermediate_size": 116, "num_hidden_layers": 3, "num_attention_heads": 4},
    **{"depth": 3, "num_heads": 4, "embed_dim": 88, "out_hidden_size": 80, "output_dim": 80, "d_model": 88},
    **{"encoder_layers": 3, "encoder_attention_heads": 4, "encoder_ffn_dim": 116, "fullatt_block_indexes": [1]},
    **{"deepstack_visual_indexes": [0, 1], "image_size": 56, "patch_size": 14, "num_position_embeddings": 16},
}
DELTA = {"linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 20, "linear_value_head_dim": 28}
MAMBA = {"mamba_n_heads": 8, "mamba_d_head": 20, "mamba_d_state": 12, "mamba_n_groups": 2}
LATENT = {"q_lora_rank": 36, "kv_lora_rank": 28, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 20}
DEEP = {"first_k_dense_replace": 1, "n_shared_experts": 2}
WINDOWS = ["sliding_attention", "full_attention"]
CASES = [
    ("llama", {}),
    ("llama", {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True}),
    ("llama", {"head_dim": None, "num_key_value_heads": None}),
    ("mistral", {}),
    ("qwen2", {"tie_word_embeddings": True}),
    ("qwen3", {"attention_bias": True}),
    ("gemma3_text", {}),
    ("gpt2", {}),
    ("mixtral", {}),
    ("gpt_oss", {"intermediate_size": 40, "attention_bias": True}),
    ("qwen3_moe", {"decoder_sparse_step": 2}),
    ("deepseek_v3", LATENT | DEEP),
    ("glm4_moe", DEEP),
    ("qwen3_next", DELTA),
    ("mamba2", {"expand": 2, "head_dim": 20, "num_heads": 8, "n_groups": 2, "state_size": 12}),
    ("qwen2_5_vl", {}),
    ("llava", {}),
]
FURTHER = [
    *((name, {}) for name in ("smollm3", "granite", "helium", "cwm", "gemma", "gemma2", "vaultgemma", "arcee")),
    *((name, {}) for name in ("internlm3", "seed_oss", "ernie4_5", "exaone4", "hunyuan_v1_dense", "phi", "phi3")),
    *((name, {}) for name in ("glm", "glm4", "cohere2", "olmo", "olmo2", "olmo3", "nemotron", "apertus", "ministral")),
    *((name, {}) for name in ("gpt_bigcode", "gptj", "gpt_neox", "bloom", "opt", "olmoe", "flex_olmo", "phimoe")),
    *(
        (name, {})
        for name in ("minimax", "minimax_m2", "granitemoe", "granitemoeshared", "qwen2_moe", "hunyuan_v1_moe")
    ),
    *((name, {}) for name in ("ernie4_5_moe", "llama4_text", "nemotron_h", "olmo_hybrid", "jamba", "ministral3")),
    *((name, {}) for name in ("mamba", "falcon_mamba", "falcon_h1", "lfm2")),
    *((name, {}) for name in ("qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe", "glm4v", "glm4v_moe")),
    *((name, {}) for name in ("llava_next", "llava_next_video", "llava_onevision", "internvl", "gemma3", "paligemma")),
    *((name, {}) for name in ("idefics3", "smolvlm", "mistral3", "mllama", "llama4", "voxtral", "qwen2_audio")),
    *((name, {}) for name in ("qwen2_5_omni_thinker", "qwen3_omni_moe_thinker")),
    *((name, LATENT | DEEP) for name in ("deepseek_v2", "glm4_moe_lite")),
    *((name, DELTA) for name in ("qwen3_5_text", "qwen3_5_moe_text")),
    ("qwen3_moe", {"mlp_only_layers": [1]}),
    ("deepseek_v2", LATENT | DEEP | {"q_lora_rank": None}),
    ("deepseek_v32", LATENT | DEEP | {"mlp_layer_types": None}),
    ("glm4_moe", DEEP | {"use_qk_norm": True, "attention_bias": True}),
    ("dots1", DEEP),
    ("qwen2_vl", {"vision_config": {"depth": 3, "embed_dim": 88, "num_heads": 4, "hidden_size": 80}}),
    ("cohere", {"use_qk_norm": True, "hidden_size": 96}),
    ("phi", {"qk_layernorm": True}),
    ("starcoder2", {"use_bias": False}),
    ("stablelm", {"use_qkv_bias": True, "qk_layernorm": True}),
    ("stablelm", {"use_parallel_residual": True}),
    ("falcon", {"head_dim": ..., "new_decoder_architecture": True, "num_kv_heads": 2, "bias": True}),
    ("falcon", {"head_dim": ..., "parallel_attn": False, "multi_query": False}),
    ("gpt_neo", {"num_layers": 4, "attention_types": [[["global", "local"], 2]]}),
    ("gpt_bigcode", {"multi_query": False}),
    ("bamba", MAMBA | {"attn_layer_indices": [2]}),
    ("granitemoehybrid", MAMBA | {"layer_types": ["mamba", "attention"] * 2, "shared_intermediate_size": 36}),
    ("lfm2_moe", {"layer_types": ["conv", "full_attention", "conv", "conv"], "num_dense_layers": 2}),
    ("gemma3n_text", {"num_kv_shared_layers": 2, "layer_types": WINDOWS * 2, "activation_sparsity_pattern": [0.0] * 4}),
    ("gemma4_text", {"layer_types": WINDOWS * 2, "global_head_dim": 40, "num_kv_shared_layers": 2}),
    ("gemma4_text", {"layer_types": WINDOWS * 2, "enable_moe_block": True, "top_k_experts": 2}),
    ("gemma4_text", {"layer_types": WINDOWS * 2, "attention_k_eq_v": True, "num_global_key_value_heads": 1}),
]


def config_of(model_type, options):
    """A configuration with small numbers, of what its class has."""
    plain = AutoConfig.for_model(model_type)
    known = {*vars(plain), *plain.attribute_map}
    chosen = {name: value for name, value in SIZES.items() if name in known}
    parts = {}
    for key in getattr(plain, "sub_configs_defaults", plain.sub_configs):
        part = getattr(plain, key, None)
        if part is not None:
            sizes = SIZES if key == "text_config" else TOWER
            parts[key] = {name: value for name, value in sizes.items() if hasattr(part, name)}
            parts[key] |= {"model_type": part.model_type} if part.model_type else {}
    given = {name: value for name, value in (chosen | parts | options).items() if value is not ...}
    return AutoConfig.for_model(model_type, **given)


def model_of(model_type, options, device="meta", **choices):
    """The model, loaded whole where it also sees or hears."""
    config = config_of(model_type, options)
    whole = next((auto for auto, mapping in WHOLE if type(config) in mapping and hasattr(config, "text_config")), None)
    with torch.device(device):
        return config, (whole or AutoModelForCausalLM).from_config(config, **choices)


def saved(config, folder):
    """What stands in config.json."""
    config.save_pretrained(folder)
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("model_type", "options"), CASES)
def test_names_shapes_and_kinds(model_type, options, tmp_path):
    compare(model_type, options, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("model_type", "options"), FURTHER)
def test_names_shapes_and_kinds_of_all(model_type, options, tmp_path):
    compare(model_type, options, tmp_path)


def compare(model_type, options, folder):
    """All weights of a form against the parameters of transformers' own class."""
    config, model = model_of(model_type, options)
    found = decoder(saved(config, folder), 16)
    modules = dict(model.named_modules())
    expected = {}
    for name, parameter in model.named_parameters():
        turned = isinstance(modules[name.rpartition(".")[0]], Conv1D) and name.endswith(".weight")  # (in, out)
        expected[name] = tuple(reversed(parameter.shape)) if turned else tuple(parameter.shape)
    assert {weight.name: weight.shape for weight in found.weights} == expected
    assert len(found.weights) == len(expected)
    parts, towers = parts_in(model), hasattr(config, "text_config")
    for weight in found.weights:
        owner = modules.get(weight.name.rpartition(".")[0])
        linear = isinstance(owner, torch.nn.Linear | Conv1D) and weight.name.endswith(".weight")
        kind = "head" if owner is model.get_output_embeddings() else "linear"
        assert (weight.kind == kind) if linear else (weight.kind not in ("linear", "head")), weight.name
        assert ("Norm" in type(owner).__name__) == (weight.kind == "norm"), weight.name
        assert (weight.kind == "experts") == (".experts." in weight.name and len(weight.shape) == 3), weight.name
        assert not towers or weight.stands_in == parts.of(weight.name), weight.name
    text = config.get_text_config()
    assert (found.hidden_size, found.vocabulary) == (text.hidden_size, text.vocab_size)
    assert sum(weight.bytes for weight in found.weights) == 2 * sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("model_type", "options"), [("llama", {}), ("qwen3", {}), ("gemma", {}), ("llama", {"tie_word_embeddings": True})]
)
def test_operations(model_type, options, tmp_path):
    """A forward pass over T tokens, each of which looks at T where the whole square is computed."""
    config, model = model_of(model_type, options, "cpu", attn_implementation="eager")
    found, length = decoder(saved(config, tmp_path), 16), 40
    with FlopCounterMode(display=False) as counter:
        model(input_ids=torch.zeros(1, length, dtype=torch.long), use_cache=False)
    told = length * (found.flops_per_token + found.flops_per_pair * length)
    assert counter.get_total_flops() == pytest.approx(told, rel=1e-4), "5.17 multiplies matrices for the angles, too"


def test_operations_of_experts(tmp_path):
    """With as many experts met as there are it costs as much as all of them, and the others in proportion."""
    every, some = (
        decoder(saved(model_of("qwen3_moe", {"num_experts_per_tok": count})[0], tmp_path), 16) for count in (6, 2)
    )
    of_experts = 2 * sum(weight.count for weight in every.weights if weight.kind == "experts")
    assert every.flops_per_token - some.flops_per_token == of_experts * 4 / 6
    assert (every.experts_per_token, some.experts_per_token) == (6, 2)


@pytest.mark.parametrize("change", [{"model_type": "t5"}, {"model_type": None}, {"hidden_size": None}])
def test_what_is_not_known(change, tmp_path):
    config = saved(model_of("llama", {})[0], tmp_path)
    assert decoder({**config, **change}, 16) is None


@pytest.mark.parametrize(
    ("model_type", "missing", "expected"),
    [("qwen3", "head_dim", 128), ("gemma", "head_dim", 256), ("llama", "head_dim", 20), ("mistral", "head_dim", 20)],
)
def test_what_a_configuration_leaves_out(model_type, missing, expected, tmp_path):
    config = saved(model_of(model_type, {})[0], tmp_path)
    del config[missing]
    queries = next(weight for weight in decoder(config, 16).weights if weight.name.endswith("q_proj.weight"))
    assert queries.shape == (4 * expected, 80)
