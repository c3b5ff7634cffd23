"""Every name and shape against transformers' own modules, and the operations against PyTorch's counter."""

import json

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForCausalLM
from tunesmith_library_estimates.architectures import decoder

SIZES = {
    "vocab_size": 96,
    "hidden_size": 64,
    "intermediate_size": 112,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 24,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
EXPERTS = {"num_experts": 6, "num_local_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 48}
CASES = [
    ("llama", {}),
    ("llama", {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True}),
    ("llama", {"head_dim": None, "num_key_value_heads": None}),
    ("mistral", {}),
    ("granite", {"tie_word_embeddings": True}),
    ("smollm3", {}),
    ("qwen2", {"tie_word_embeddings": True}),
    ("qwen3", {}),
    ("qwen3", {"attention_bias": True}),
    ("gemma", {}),
    ("gemma2", {}),
    ("gemma3_text", {}),
    ("mixtral", EXPERTS),
    ("qwen2_moe", EXPERTS | {"shared_expert_intermediate_size": 40}),
    ("olmoe", EXPERTS | {"head_dim": 16}),
    ("gpt_oss", EXPERTS | {"intermediate_size": 40, "attention_bias": True}),
    ("qwen3_moe", EXPERTS | {"decoder_sparse_step": 2}),
    ("qwen3_moe", EXPERTS | {"mlp_only_layers": [1]}),
]


def model_of(model_type, options, device="meta", **choices):
    config = AutoConfig.for_model(model_type, **{**SIZES, **options})
    with torch.device(device):
        return config, AutoModelForCausalLM.from_config(config, **choices)


def saved(config, folder):
    """What stands in config.json."""
    config.save_pretrained(folder)
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("model_type", "options"), CASES)
def test_names_shapes_and_kinds(model_type, options, tmp_path):
    config, model = model_of(model_type, options)
    found = decoder(saved(config, tmp_path), 16)
    assert {weight.name: weight.shape for weight in found.weights} == {
        name: tuple(parameter.shape) for name, parameter in model.named_parameters()
    }
    modules = dict(model.named_modules())
    for weight in found.weights:
        owner = modules.get(weight.name.removesuffix(".weight").removesuffix(".bias"))  # of a bare parameter none
        linear = isinstance(owner, torch.nn.Linear) and weight.name.endswith(".weight")
        expected = "head" if owner is model.get_output_embeddings() else "linear"
        assert (weight.kind == expected) if linear else (weight.kind not in ("linear", "head")), weight.name
        assert ("Norm" in type(owner).__name__) == (weight.kind == "norm"), weight.name
    assert (found.hidden_size, found.vocabulary) == (64, 96)
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
    assert counter.get_total_flops() == length * (found.flops_per_token + found.flops_per_pair * length)


def test_operations_of_experts(tmp_path):
    """With as many experts met as there are it costs as much as all of them, and the others in proportion."""
    every, some = (
        decoder(saved(model_of("qwen3_moe", EXPERTS | {"num_experts_per_tok": count})[0], tmp_path), 16)
        for count in (6, 2)
    )
    of_experts = 2 * sum(weight.count for weight in every.weights if weight.kind == "experts")
    assert every.flops_per_token - some.flops_per_token == of_experts * 4 / 6
    assert (every.experts_per_token, some.experts_per_token) == (6, 2)


@pytest.mark.parametrize("change", [{"model_type": "mamba"}, {"model_type": None}, {"hidden_size": None}])
def test_what_is_not_known(change, tmp_path):
    config = saved(model_of("llama", {})[0], tmp_path)
    assert decoder({**config, **change}, 16) is None


@pytest.mark.parametrize(
    ("model_type", "missing", "expected"),
    [("qwen3", "head_dim", 128), ("gemma", "head_dim", 256), ("llama", "head_dim", 16), ("mistral", "head_dim", 16)],
)
def test_what_a_configuration_leaves_out(model_type, missing, expected, tmp_path):
    config = saved(model_of(model_type, {})[0], tmp_path)
    del config[missing]
    queries = next(weight for weight in decoder(config, 16).weights if weight.name.endswith("q_proj.weight"))
    assert queries.shape == (4 * expected, 64)
