"""Tiny models of the Qwen families that see and hear."""

from __future__ import annotations

from typing import Any

from tunesmith_library_testing.seeing_facts import SeeingFamily

_VISION_TOKENS = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
_VISION_IDS = {
    "image_token_id": "@<|image_pad|>",
    "video_token_id": "@<|video_pad|>",
    "vision_start_token_id": "@<|vision_start|>",
    "vision_end_token_id": "@<|vision_end|>",
}
_SEEN = {"image": "<|vision_start|><|image_pad|><|vision_end|>", "video": "<|vision_start|><|video_pad|><|vision_end|>"}
_HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}


def _rope(*sections: int, **more: Any) -> dict[str, Any]:
    """Rotations of positions in three dimensions: time, height, width."""
    return {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": list(sections), **more}


def _patches(unit: int, most: int) -> dict[str, Any]:
    """What describes pictures and clips: patches of half a unit, merged by twos, pictures of at most so many units."""
    size = {"shortest_edge": unit**2, "longest_edge": most * unit**2}
    return {"patch_size": unit // 2, "temporal_patch_size": 2, "merge_size": 2, "size": size}


_QWEN2_VISION = {"depth": 1, "embed_dim": 32, "hidden_size": 64, "num_heads": 2, "mlp_ratio": 2, "patch_size": 14}
_QWEN2_5_VISION = {
    **{"depth": 2, "hidden_size": 32, "intermediate_size": 64, "out_hidden_size": 64, "num_heads": 2},
    **{"patch_size": 14, "window_size": 56, "fullatt_block_indexes": [1], "tokens_per_second": 2},
}
_QWEN3_VISION = {
    **{"depth": 2, "hidden_size": 32, "intermediate_size": 64, "out_hidden_size": 64, "num_heads": 2},
    **{"patch_size": 16, "num_position_embeddings": 16},
}
_MROPE = {"rope_parameters": _rope(2, 3, 3)}
_INTERLEAVED = _rope(4, 2, 2, mrope_interleaved=True)

_QWEN2_VL_PARTS = {
    "image_processor": {"image_processor_type": "Qwen2VLImageProcessor", **_patches(28, 16)},
    "video_processor": {"video_processor_type": "Qwen2VLVideoProcessor", **_patches(28, 4)},
}
_QWEN3_VL_PARTS = {
    "image_processor": {"image_processor_type": "Qwen2VLImageProcessor", **_patches(32, 16), **_HALF},
    "video_processor": {"video_processor_type": "Qwen3VLVideoProcessor", **_patches(32, 32), **_HALF},
}

_OMNI_TOKENS = {
    **{"image_token": "<|IMAGE|>", "video_token": "<|VIDEO|>", "audio_token": "<|AUDIO|>"},
    **{"vision_bos_token": "<|vision_bos|>", "vision_eos_token": "<|vision_eos|>"},
    **{"audio_bos_token": "<|audio_bos|>", "audio_eos_token": "<|audio_eos|>"},
}
_WHISPER = {
    **{"feature_extractor_type": "WhisperFeatureExtractor", "feature_size": 16, "sampling_rate": 16000},
    **{"hop_length": 160, "chunk_length": 4, "n_fft": 400, "padding_side": "right"},
}

FAMILIES: dict[str, SeeingFamily] = {
    "qwen2_vl": SeeingFamily(
        model_class="Qwen2VLForConditionalGeneration",
        model_type="qwen2_vl",
        processor_class="Qwen2VLProcessor",
        config={"text_config": _MROPE, "vision_config": _QWEN2_VISION, **_VISION_IDS},
        marks=_SEEN,
        tokens=_VISION_TOKENS,
        parts=_QWEN2_VL_PARTS,
    ),
    "qwen2_5_vl": SeeingFamily(
        model_class="Qwen2_5_VLForConditionalGeneration",
        model_type="qwen2_5_vl",
        processor_class="Qwen2_5_VLProcessor",
        config={"text_config": _MROPE, "vision_config": _QWEN2_5_VISION, **_VISION_IDS},
        marks=_SEEN,
        tokens=_VISION_TOKENS,
        parts=_QWEN2_VL_PARTS,
    ),
    "qwen3_vl": SeeingFamily(
        model_class="Qwen3VLForConditionalGeneration",
        model_type="qwen3_vl",
        processor_class="Qwen3VLProcessor",
        config={
            "text_config": {"rope_parameters": _INTERLEAVED},
            "vision_config": {**_QWEN3_VISION, "deepstack_visual_indexes": [0]},
            **_VISION_IDS,
        },
        marks=_SEEN,
        tokens=_VISION_TOKENS,
        parts=_QWEN3_VL_PARTS,
    ),
    "qwen3_5": SeeingFamily(
        model_class="Qwen3_5ForConditionalGeneration",
        model_type="qwen3_5",
        processor_class="Qwen3VLProcessor",
        config={
            "text_config": {
                **{"rope_parameters": _INTERLEAVED, "head_dim": 32, "linear_num_key_heads": 2},
                **{"linear_num_value_heads": 4, "linear_key_head_dim": 16, "linear_value_head_dim": 16},
                "layer_types": ["linear_attention", "full_attention"],
            },
            "vision_config": _QWEN3_VISION,
            **_VISION_IDS,
        },
        marks=_SEEN,
        tokens=(*_VISION_TOKENS, "<|endoftext|>"),  # which the family's own tokenizer class would add
        parts=_QWEN3_VL_PARTS,
    ),
    "qwen2_audio": SeeingFamily(
        model_class="Qwen2AudioForConditionalGeneration",
        model_type="qwen2_audio",
        processor_class="Qwen2AudioProcessor",
        config={
            "text_config": {"model_type": "qwen2"},
            "audio_config": {
                **{"model_type": "qwen2_audio_encoder", "num_mel_bins": 16, "encoder_layers": 1, "d_model": 32},
                **{"encoder_attention_heads": 2, "encoder_ffn_dim": 64, "max_source_positions": 200},
            },
            "audio_token_index": "@<|AUDIO|>",
        },
        marks={"audio": "<|audio_bos|><|AUDIO|><|audio_eos|>\n"},
        tokens=("<|audio_bos|>", "<|audio_eos|>", "<|AUDIO|>"),
        parts={"feature_extractor": _WHISPER},
    ),
    "qwen2_5_omni_thinker": SeeingFamily(
        model_class="Qwen2_5OmniThinkerForConditionalGeneration",
        model_type="qwen2_5_omni_thinker",
        processor_class="Qwen2_5OmniProcessor",
        config={
            "text_config": {**_MROPE, "max_position_embeddings": 8192},  # its processor enlarges the frames of clips
            "vision_config": {name: value for name, value in _QWEN2_5_VISION.items() if name != "tokens_per_second"},
            "audio_config": {
                **{"num_mel_bins": 16, "encoder_layers": 1, "d_model": 32, "encoder_attention_heads": 2},
                **{"encoder_ffn_dim": 64, "max_source_positions": 200, "n_window": 50, "output_dim": 64},
            },
            **{"audio_token_index": "@<|AUDIO|>", "image_token_index": "@<|IMAGE|>", "video_token_index": "@<|VIDEO|>"},
            **{"audio_start_token_id": "@<|audio_bos|>", "audio_end_token_id": "@<|audio_eos|>"},
            **{"vision_start_token_id": "@<|vision_bos|>", "vision_end_token_id": "@<|vision_eos|>"},
        },
        marks={
            "image": "<|vision_bos|><|IMAGE|><|vision_eos|>",
            "video": "<|vision_bos|><|VIDEO|><|vision_eos|>",
            "audio": "<|audio_bos|><|AUDIO|><|audio_eos|>",
        },
        tokens=tuple(_OMNI_TOKENS.values()),
        named_tokens=_OMNI_TOKENS,
        parts={**_QWEN2_VL_PARTS, "feature_extractor": _WHISPER},
    ),
}
