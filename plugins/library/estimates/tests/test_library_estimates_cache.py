"""What models keep of what they write, beside the caches that transformers fills."""

import json

import pytest
import torch
from tunesmith_library_estimates.cache import cache_of

SMALL = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 8,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 128,
    "head_dim": 16,
    "max_position_embeddings": 512,
    "sliding_window": 32,
}
LATENT = {
    **{"kv_lora_rank": 24, "q_lora_rank": 32, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 16},
    **{"num_key_value_heads": 4, "head_dim": None, "n_routed_experts": 4, "num_experts_per_tok": 2},
    **{"moe_intermediate_size": 32, "n_group": 1, "topk_group": 1},
}
DELTA = {
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    "num_experts": 0,
}


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("mistral", {}),
        ("qwen3", {}),
        ("gemma3_text", {}),
        ("deepseek_v3", LATENT),
        ("qwen3_next", DELTA),
    ],
)
def test_numbers_are_those_of_the_cache(family, options):
    """Two sequences of 100 tokens; of a window transformers lets go of the token before the next one."""
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM, DynamicCache

    if family not in CONFIG_MAPPING:
        pytest.skip(f"this transformers has no {family}")
    given = {name: value for name, value in {**SMALL, **options}.items() if value is not None}
    config = CONFIG_MAPPING[family](**given)
    cache = DynamicCache(config=config)
    with torch.no_grad():
        AutoModelForCausalLM.from_config(config).eval()(torch.ones(2, 100, dtype=torch.long), past_key_values=cache)
    found = cache_of(json.loads(config.to_json_string(use_diff=False)))
    assert found is not None
    assert 2 * found.numbers(100) == sum(map(_held, cache.layers))


def _held(layer):
    columns = [held for name in ("keys", "values") if isinstance(held := getattr(layer, name, None), torch.Tensor)]
    ended = sum(held.numel() // held.shape[2] for held in columns if layer.is_sliding and held.shape[2] < 32)
    states = [state for name in ("conv_states", "recurrent_states") for state in getattr(layer, name, {}).values()]
    return sum(held.numel() for held in [*columns, *states] if held is not None) + ended


def test_a_configuration_that_lacks_a_number():
    assert cache_of({"num_hidden_layers": 2}) is None
    assert cache_of({**SMALL, "layer_types": ["mamba"] * 8}) is None
