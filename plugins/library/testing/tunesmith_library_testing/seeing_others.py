"""Tiny models of the other families that see and hear."""

from __future__ import annotations

from tunesmith_library_testing.seeing_facts import SeeingFamily, square

_CLIP = {
    **{"model_type": "clip_vision_model", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2},
    **{"num_attention_heads": 2, "projection_dim": 32, "image_size": 28, "patch_size": 14},
}
_SIGLIP = {
    **{"model_type": "siglip_vision_model", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1},
    **{"num_attention_heads": 2, "image_size": 56, "patch_size": 14, "vision_use_head": False},
}
_HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
_VICUNA = (
    "{%- for message in messages -%}"
    "{{- {'user': 'USER: ', 'assistant': 'ASSISTANT: '}.get(message.role, '') + content(message) -}}"
    "{{- '</s>' if message.role == 'assistant' else ' ' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}ASSISTANT:{%- endif -%}"
)
_GEMMA = (
    "{{- bos_token -}}{%- for message in messages -%}"
    "{%- set role = 'model' if message.role == 'assistant' else message.role -%}"
    "{{- '<start_of_turn>' + role + '\n' + content(message) + '<end_of_turn>\n' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<start_of_turn>model\n' -}}{%- endif -%}"
)
_PREFIX = (
    "{%- for message in messages -%}"
    "{{- content(message) + (eos_token if message.role == 'assistant' else '\n') -}}{%- endfor -%}"
)


_PIXTRAL = {
    **{"model_type": "pixtral", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "head_dim": 16},
    **{"num_attention_heads": 2, "image_size": 112, "patch_size": 14},
}
_MISTRAL_TOKENS = ("[INST]", "[/INST]", "[IMG]", "[IMG_BREAK]", "[IMG_END]")
_MISTRAL = (
    "{{- bos_token -}}{%- for message in messages -%}"
    "{%- if message.role == 'user' -%}{{- '[INST]' + content(message) + '[/INST]' -}}"
    "{%- else -%}{{- content(message) + (eos_token if message.role == 'assistant' else '') -}}{%- endif -%}"
    "{%- endfor -%}"
)
_GLM = {
    **{"patch_size": 14, "temporal_patch_size": 2, "merge_size": 2},
    "size": {"shortest_edge": 2 * 28**2, "longest_edge": 32 * 28**2},
}
_GLM_TURNS = (
    "[gMASK]<sop>{%- for message in messages -%}{{- '<|' + message.role + '|>\n' + content(message) -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>\n' -}}{%- endif -%}"
)

FAMILIES: dict[str, SeeingFamily] = {
    "llava": SeeingFamily(
        model_class="LlavaForConditionalGeneration",
        model_type="llava",
        processor_class="LlavaProcessor",
        config={
            "text_config": {"model_type": "llama"},
            "vision_config": _CLIP,
            "image_token_index": "@<image>",
            "image_seq_length": 4,
        },
        marks={"image": "<image>"},
        tokens=("<image>",),
        parts={
            "image_processor": {
                **{"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 28}},
                "crop_size": square(28),
            }
        },
        processor={"patch_size": 14, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1},
        turns=_VICUNA,
    ),
    "gemma3": SeeingFamily(
        model_class="Gemma3ForConditionalGeneration",
        model_type="gemma3",
        processor_class="Gemma3Processor",
        config={
            "text_config": {
                "layer_types": ["sliding_attention", "full_attention"],
                **{"sliding_window": 32, "query_pre_attn_scalar": 16, "tie_word_embeddings": True},
            },
            "vision_config": _SIGLIP,
            "mm_tokens_per_image": 4,
            **{"boi_token_index": "@<start_of_image>", "eoi_token_index": "@<end_of_image>"},
            "image_token_index": "@<image_soft_token>",
        },
        marks={"image": "<start_of_image>"},
        tokens=("<start_of_turn>", "<end_of_turn>", "<start_of_image>", "<end_of_image>", "<image_soft_token>"),
        named_tokens={
            "boi_token": "<start_of_image>",
            "eoi_token": "<end_of_image>",
            "image_token": "<image_soft_token>",
        },
        parts={"image_processor": {"image_processor_type": "Gemma3ImageProcessor", "size": square(56), **_HALF}},
        processor={"image_seq_length": 4},
        turns=_GEMMA,
    ),
    "paligemma": SeeingFamily(
        model_class="PaliGemmaForConditionalGeneration",
        model_type="paligemma",
        processor_class="PaliGemmaProcessor",
        config={
            "text_config": {"model_type": "gemma", "num_key_value_heads": 1, "tie_word_embeddings": True},
            "vision_config": {**_SIGLIP, "projection_dim": 64},
            "projection_dim": 64,
            "image_token_index": "@<image>",
        },
        marks={"image": "<image>"},
        tokens=("<image>",),
        words=(*(f"<loc{number:04}>" for number in range(1024)), *(f"<seg{number:03}>" for number in range(128))),
        parts={
            "image_processor": {
                **{"image_processor_type": "SiglipImageProcessor", "size": square(56), **_HALF},
                "image_seq_length": 16,
            }
        },
        turns=_PREFIX,
    ),
    "pixtral": SeeingFamily(
        model_class="LlavaForConditionalGeneration",
        model_type="llava",
        processor_class="PixtralProcessor",
        config={
            "text_config": {"model_type": "mistral"},
            "vision_config": _PIXTRAL,
            **{"image_token_index": "@[IMG]", "vision_feature_layer": -1, "vision_feature_select_strategy": "full"},
        },
        marks={"image": "[IMG]"},
        tokens=_MISTRAL_TOKENS,
        parts={
            "image_processor": {
                **{"image_processor_type": "PixtralImageProcessor", "size": {"longest_edge": 112}},
                "patch_size": square(14),
            }
        },
        processor={"patch_size": 14},
        turns=_MISTRAL,
    ),
    "mistral3": SeeingFamily(
        model_class="Mistral3ForConditionalGeneration",
        model_type="mistral3",
        processor_class="PixtralProcessor",
        config={
            "text_config": {"model_type": "mistral"},
            "vision_config": _PIXTRAL,
            **{"image_token_index": "@[IMG]", "spatial_merge_size": 2, "tie_word_embeddings": False},
        },
        marks={"image": "[IMG]"},
        tokens=_MISTRAL_TOKENS,
        parts={
            "image_processor": {
                **{"image_processor_type": "PixtralImageProcessor", "size": {"longest_edge": 112}, "patch_size": 14},
            }
        },
        processor={"patch_size": 14, "spatial_merge_size": 2},
        turns=_MISTRAL,
    ),
    "glm4v": SeeingFamily(
        model_class="Glm4vForConditionalGeneration",
        model_type="glm4v",
        processor_class="Glm4vProcessor",
        config={
            "text_config": {
                "rope_parameters": {
                    **{"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]},
                    "partial_rotary_factor": 0.5,
                }
            },
            "vision_config": {
                **{"depth": 1, "hidden_size": 32, "intermediate_size": 64, "out_hidden_size": 64, "num_heads": 2},
                **{"image_size": 56, "patch_size": 14},
            },
            **{"image_token_id": "@<|image|>", "video_token_id": "@<|video|>"},
            **{"image_start_token_id": "@<|begin_of_image|>", "image_end_token_id": "@<|end_of_image|>"},
            **{"video_start_token_id": "@<|begin_of_video|>", "video_end_token_id": "@<|end_of_video|>"},
        },
        marks={
            "image": "<|begin_of_image|><|image|><|end_of_image|>",
            "video": "<|begin_of_video|><|video|><|end_of_video|>",
        },
        tokens=(
            *("<|begin_of_image|>", "<|image|>", "<|end_of_image|>", "<|begin_of_video|>", "<|video|>"),
            *("<|end_of_video|>", "[gMASK]", "<sop>", "<|user|>", "<|assistant|>", "<|system|>"),
        ),
        parts={
            "image_processor": {"image_processor_type": "Glm4vImageProcessor", **_GLM},
            "video_processor": {"video_processor_type": "Glm4vVideoProcessor", **_GLM},
        },
        turns=_GLM_TURNS,
    ),
}
