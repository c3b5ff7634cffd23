"""How many parameters well-known models have by the numbers of their config.json, against what their hubs say."""

import pytest
from tunesmith_library_estimates.architectures import decoder


def numbers(model_type, vocabulary, hidden, inner, layers, heads, of_keys, **others):
    sizes = {"vocab_size": vocabulary, "hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": layers}
    return {"model_type": model_type, **sizes, "num_attention_heads": heads, "num_key_value_heads": of_keys, **others}


EXPERTS = {"num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": 768}
LATENT = {"q_lora_rank": None, "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128}
DEEP = {"n_routed_experts": 64, "n_shared_experts": 2, "moe_intermediate_size": 1408, "first_k_dense_replace": 1}
PATCHES = {"patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2}
QWEN2_TOWER = {"depth": 32, "embed_dim": 1280, "hidden_size": 1536, "num_heads": 16, "mlp_ratio": 4, **PATCHES}
QWEN25_TOWER = {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "out_hidden_size": 3584, **PATCHES}
LARGE = {"num_attention_heads": 16, "patch_size": 14}
CLIP = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "image_size": 336, **LARGE}
SIGLIP = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "image_size": 896, **LARGE}
# an id on the Hugging Face hub, the parameters that it says there, and the numbers of the model's config.json
PUBLISHED = [
    ("meta-llama/Meta-Llama-3-8B", 8_030_261_248, numbers("llama", 128256, 4096, 14336, 32, 32, 8)),
    ("meta-llama/Meta-Llama-3-70B", 70_553_706_496, numbers("llama", 128256, 8192, 28672, 80, 64, 8)),
    ("mistralai/Mistral-7B-v0.1", 7_241_732_096, numbers("mistral", 32000, 4096, 14336, 32, 32, 8)),
    (
        "mistralai/Mixtral-8x7B-v0.1",
        46_702_792_704,
        numbers("mixtral", 32000, 4096, 14336, 32, 32, 8, num_local_experts=8),
    ),
    ("Qwen/Qwen2.5-7B", 7_615_616_512, numbers("qwen2", 152064, 3584, 18944, 28, 28, 4)),
    ("Qwen/Qwen3-8B", 8_190_735_360, numbers("qwen3", 151936, 4096, 12288, 36, 32, 8)),
    (
        "Qwen/Qwen3-30B-A3B",
        30_532_122_624,
        numbers("qwen3_moe", 151936, 2048, 6144, 48, 32, 4, **EXPERTS, head_dim=128),
    ),
    ("google/gemma-2-9b", 9_241_705_984, numbers("gemma2", 256000, 3584, 14336, 42, 16, 8, head_dim=256)),
    ("microsoft/phi-4", 14_659_507_200, numbers("phi3", 100352, 5120, 17920, 40, 40, 10)),
    (
        "openai/gpt-oss-20b",
        20_914_757_184,
        numbers("gpt_oss", 201088, 2880, 2880, 24, 64, 8, head_dim=64, num_local_experts=32, attention_bias=True),
    ),
    (
        "deepseek-ai/DeepSeek-V2-Lite",
        15_706_484_224,
        numbers("deepseek_v2", 102400, 2048, 10944, 27, 16, 16, **LATENT, **DEEP),
    ),
    ("tiiuae/falcon-7b", 6_921_720_704, numbers("falcon", 65024, 4544, None, 32, 71, None, multi_query=True)),
    (
        "Qwen/Qwen2-VL-2B-Instruct",  # all in one, as the first models that see wrote it
        2_208_985_600,
        numbers("qwen2_vl", 151936, 1536, 8960, 28, 12, 2, vision_config=QWEN2_TOWER, tie_word_embeddings=True),
    ),
    (
        "Qwen/Qwen2.5-VL-7B-Instruct",
        8_292_166_656,
        numbers("qwen2_5_vl", 152064, 3584, 18944, 28, 28, 4, vision_config=QWEN25_TOWER, tie_word_embeddings=False),
    ),
    (
        "llava-hf/llava-1.5-7b-hf",  # whose config.json leaves most of its language model to the class's defaults
        7_063_427_072,
        {
            "model_type": "llava",
            "text_config": {"model_type": "llama", "vocab_size": 32064},
            "vision_config": {"model_type": "clip_vision_model", **CLIP},
        },
    ),
    (
        "google/gemma-3-4b-it",
        4_300_079_472,
        {
            "model_type": "gemma3",
            "text_config": numbers("gemma3_text", 262208, 2560, 10240, 34, 8, 4),
            "vision_config": {"model_type": "siglip_vision_model", "vision_use_head": False, **SIGLIP},
        },
    ),
]


@pytest.mark.parametrize(("name", "published", "config"), PUBLISHED)
def test_as_many_parameters_as_the_hub_says(name, published, config):
    assert sum(weight.count for weight in decoder(config, 16).weights) == published


def test_a_token_meets_the_experts_that_are_chosen_for_it():
    """Of DeepSeek-V3's 671 B parameters 37 B are active (arXiv 2412.19437), the embeddings counted."""
    found = decoder({"model_type": "deepseek_v3"}, 16)
    embeddings = found.vocabulary * found.hidden_size
    assert round(sum(weight.count for weight in found.weights) / 1e9) == 671
    assert round((found.flops_per_token / 2 + embeddings) / 1e9) in (37, 38)
