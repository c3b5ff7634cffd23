"""Tiny models of the other families that see and hear."""

from __future__ import annotations

from typing import Any

from tunesmith_library_testing.seeing_facts import SeeingFamily

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


def _square(edge: int) -> dict[str, Any]:
    return {"height": edge, "width": edge}


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
                "crop_size": _square(28),
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
        parts={"image_processor": {"image_processor_type": "Gemma3ImageProcessor", "size": _square(56), **_HALF}},
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
        parts={
            "image_processor": {
                **{"image_processor_type": "SiglipImageProcessor", "size": _square(56), **_HALF},
                "image_seq_length": 16,
            }
        },
        turns=_PREFIX,
    ),
}
