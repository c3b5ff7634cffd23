"""Tiny models of the families that cut large pictures into tiles."""

from __future__ import annotations

from typing import Any

from tunesmith_library_testing.seeing_facts import SeeingFamily, square

_CLIP = {
    **{"model_type": "clip_vision_model", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2},
    **{"num_attention_heads": 2, "projection_dim": 32, "image_size": 56, "patch_size": 14},
}
_TALL_AND_WIDE = [[56, 112], [112, 56], [112, 112]]
_CROPPED = {"size": {"shortest_edge": 56}, "crop_size": square(56)}
_LLAVA = {"patch_size": 14, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}
_VICUNA = (
    "{%- for message in messages -%}"
    "{{- {'user': 'USER: ', 'assistant': 'ASSISTANT: '}.get(message.role, '') + content(message) -}}"
    "{{- '</s>' if message.role == 'assistant' else ' ' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}ASSISTANT:{%- endif -%}"
)
_LLAMA3 = (
    "{{- bos_token -}}{%- for message in messages -%}"
    "{{- '<|start_header_id|>' + message.role + '<|end_header_id|>\n\n' + content(message) + '<|eot_id|>' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' -}}{%- endif -%}"
)
_LLAMA4 = (
    "{{- bos_token -}}{%- for message in messages -%}"
    "{{- '<|header_start|>' + message.role + '<|header_end|>\n\n' + content(message) + '<|eot|>' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|header_start|>assistant<|header_end|>\n\n' -}}{%- endif -%}"
)
_IDEFICS = (
    "{{- '<|im_start|>' -}}{%- for message in messages -%}"
    "{{- message.role | capitalize + ': ' + content(message) + '<end_of_utterance>\n' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}Assistant:{%- endif -%}"
)
_LLAMA3_TOKENS = ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|python_tag|>")
_LLAMA4_TOKENS = (
    *("<|header_start|>", "<|header_end|>", "<|eot|>", "<|image_start|>", "<|image_end|>", "<|patch|>"),
    *("<|tile_x_separator|>", "<|tile_y_separator|>", "<|image|>"),
)
_IDEFICS_TOKENS = (
    *("<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>", "<video>"),
    *(f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)),
)
_SPLIT = {"size": {"longest_edge": 112}, "max_image_size": {"longest_edge": 56}, "do_image_splitting": True}


def _idefics(model_class: str, kind: str, vision: str, processor: str, parts: dict[str, Any], **more: str) -> Any:
    return SeeingFamily(
        model_class=model_class,
        model_type=kind,
        processor_class=processor,
        config={
            "text_config": {"model_type": "llama"},
            "vision_config": {
                **{"model_type": vision, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1},
                **{"num_attention_heads": 2, "image_size": 56, "patch_size": 14},
            },
            "scale_factor": 2,
            "image_token_id": "@<image>",
        },
        marks={"image": "<image>", **more},
        tokens=_IDEFICS_TOKENS,
        parts=parts,
        processor={"image_seq_len": 4},
        turns=_IDEFICS,
    )


FAMILIES: dict[str, SeeingFamily] = {
    "llava_next": SeeingFamily(
        model_class="LlavaNextForConditionalGeneration",
        model_type="llava_next",
        processor_class="LlavaNextProcessor",
        config={
            "text_config": {"model_type": "llama"},
            "vision_config": _CLIP,
            "image_token_index": "@<image>",
            "image_grid_pinpoints": _TALL_AND_WIDE,
        },
        marks={"image": "<image>"},
        tokens=("<image>",),
        parts={
            "image_processor": {
                "image_processor_type": "LlavaNextImageProcessor",
                **_CROPPED,
                "image_grid_pinpoints": _TALL_AND_WIDE,
            }
        },
        processor=_LLAVA,
        turns=_VICUNA,
    ),
    "llava_next_video": SeeingFamily(
        model_class="LlavaNextVideoForConditionalGeneration",
        model_type="llava_next_video",
        processor_class="LlavaNextVideoProcessor",
        config={
            "text_config": {"model_type": "llama"},
            "vision_config": _CLIP,
            **{"image_token_index": "@<image>", "video_token_index": "@<video>"},
            "image_grid_pinpoints": _TALL_AND_WIDE,
        },
        marks={"image": "<image>", "video": "<video>"},
        tokens=("<image>", "<video>"),
        parts={
            "image_processor": {
                "image_processor_type": "LlavaNextImageProcessor",
                **_CROPPED,
                "image_grid_pinpoints": _TALL_AND_WIDE,
            },
            "video_processor": {"video_processor_type": "LlavaNextVideoVideoProcessor", **_CROPPED},
        },
        processor=_LLAVA,
        turns=_VICUNA,
    ),
    "internvl": SeeingFamily(
        model_class="InternVLForConditionalGeneration",
        model_type="internvl",
        processor_class="InternVLProcessor",
        config={
            "text_config": {"model_type": "qwen2"},
            "vision_config": {
                **{"model_type": "internvl_vision", "hidden_size": 32, "intermediate_size": 64},
                **{"num_hidden_layers": 1, "num_attention_heads": 2, "image_size": [56, 56], "patch_size": [14, 14]},
            },
            **{"image_token_id": "@<IMG_CONTEXT>", "image_seq_length": 4, "tie_word_embeddings": False},
        },
        marks={"image": "<IMG_CONTEXT>", "video": "<video>"},
        tokens=("<img>", "</img>", "<IMG_CONTEXT>", "<video>"),
        named_tokens={
            **{"start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>"},
            "video_token": "<video>",
        },
        parts={
            "image_processor": {
                **{"image_processor_type": "GotOcr2ImageProcessor", "size": square(56)},
                **{"crop_to_patches": False, "min_patches": 1, "max_patches": 4},
            },
            "video_processor": {"video_processor_type": "InternVLVideoProcessor", "size": square(56)},
        },
        processor={"image_seq_length": 4},
    ),
    "mllama": SeeingFamily(
        model_class="MllamaForConditionalGeneration",
        model_type="mllama",
        processor_class="MllamaProcessor",
        config={
            # the model has eight more embeddings than its head has rows: the mark of pictures is among them
            "text_config": {
                **{"vocab_size": "@<|image|>", "cross_attention_layers": [1]},
                "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
            },
            "vision_config": {
                **{"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_global_layers": 1},
                **{"attention_heads": 2, "image_size": 56, "patch_size": 14, "max_num_tiles": 4},
                **{"intermediate_layers_indices": [0], "vision_output_dim": 64},
            },
            "image_token_index": "@<|image|>",
        },
        marks={"image": "<|image|>"},
        tokens=(*_LLAMA3_TOKENS, "<|image|>"),
        parts={
            "image_processor": {
                **{"image_processor_type": "MllamaImageProcessor", "size": square(56), "max_image_tiles": 4},
            }
        },
        turns=_LLAMA3,
    ),
    "llama4": SeeingFamily(
        model_class="Llama4ForConditionalGeneration",
        model_type="llama4",
        processor_class="Llama4Processor",
        config={
            "text_config": {
                **{"intermediate_size_mlp": 128, "num_local_experts": 2, "attention_chunk_size": 256},
                "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
            },
            "vision_config": {
                **{"hidden_size": 32, "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 2},
                **{"image_size": 56, "patch_size": 14, "projector_input_dim": 64, "projector_output_dim": 64},
                "vision_output_dim": 64,
            },
            **{"boi_token_index": "@<|image_start|>", "eoi_token_index": "@<|image_end|>"},
            "image_token_index": "@<|patch|>",
        },
        marks={"image": "<|image|>"},
        tokens=_LLAMA4_TOKENS,
        parts={
            "image_processor": {
                **{"image_processor_type": "Llama4ImageProcessorFast", "size": square(56), "max_patches": 4},
            }
        },
        processor={"patch_size": 14, "pixel_shuffle_ratio": 0.5},
        turns=_LLAMA4,
    ),
    "idefics3": _idefics(
        "Idefics3ForConditionalGeneration",
        "idefics3",
        "idefics3_vision",
        "Idefics3Processor",
        {"image_processor": {"image_processor_type": "Idefics3ImageProcessor", **_SPLIT}},
    ),
    "smolvlm": _idefics(
        "SmolVLMForConditionalGeneration",
        "smolvlm",
        "smolvlm_vision",
        "SmolVLMProcessor",
        {
            "image_processor": {"image_processor_type": "SmolVLMImageProcessor", **_SPLIT},
            "video_processor": {"video_processor_type": "SmolVLMVideoProcessor", **_SPLIT, "num_frames": 4, "fps": 1},
        },
        video="<video>",
    ),
}
