"""Which part of a model a weight is in, for models of several families without weights."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tunesmith import TunesmithError
from tunesmith_library_weights.shares import share
from tunesmith_library_weights.towers import left_out, left_out_of_folder, parts_in, towers_problems

_TEXT = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
_TEXT |= {"num_key_value_heads": 2, "vocab_size": 64, "head_dim": 16, "pad_token_id": 0}
_TEXT |= {"bos_token_id": 1, "eos_token_id": 2}
_CLIP = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
_CLIP |= {"image_size": 28, "patch_size": 14}
_AUDIO = {"d_model": 16, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 32, "num_mel_bins": 8}
_QWEN = {"depth": 1, "num_heads": 2, "intermediate_size": 32, "patch_size": 14}
_FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llava_next": ("LlavaNext", {"text_config": _TEXT, "vision_config": _CLIP}),
    "gemma3": ("Gemma3", {"text_config": _TEXT, "vision_config": _CLIP}),
    "mllama": ("Mllama", {"text_config": _TEXT | {"cross_attention_layers": [0]}}),
    "llama4": ("Llama4", {"text_config": _TEXT | {"num_local_experts": 2}}),
    "smolvlm": ("SmolVLM", {"text_config": _TEXT, "vision_config": _CLIP}),
    "idefics2": ("Idefics2", {"text_config": _TEXT, "vision_config": _CLIP}),
    "qwen2_audio": ("Qwen2Audio", {"text_config": _TEXT, "audio_config": _AUDIO}),
    "qwen2_vl": ("Qwen2VL", {"text_config": _TEXT, "vision_config": _QWEN | {"embed_dim": 16, "hidden_size": 32}}),
    "qwen2_5_vl": ("Qwen2_5_VL", {"text_config": _TEXT, "vision_config": _QWEN | {"out_hidden_size": 32}}),
    "qwen3_vl": ("Qwen3VL", {"text_config": _TEXT, "vision_config": _QWEN | {"out_hidden_size": 32}}),
    "glm4v": ("Glm4v", {"text_config": _TEXT, "vision_config": _QWEN | {"out_hidden_size": 32}}),
    "qwen2_5_omni_thinker": (
        "Qwen2_5OmniThinker",
        {
            "text_config": _TEXT,
            "vision_config": _QWEN | {"hidden_size": 16, "out_hidden_size": 32},
            "audio_config": _AUDIO | {"output_dim": 32},
        },
    ),
}
_PLACES = {  # as the published checkpoints name them: a weight of each part
    "llava_next": {
        "model.vision_tower.encoder.layers.0.self_attn.q_proj": "vision",
        "model.multi_modal_projector.linear_1": "projector",
        "model.image_newline": "projector",
        "model.language_model.layers.0.self_attn.q_proj": "language",
        "lm_head": "language",
    },
    "gemma3": {
        "model.vision_tower.post_layernorm": "vision",
        "model.multi_modal_projector.mm_input_projection_weight": "projector",
        "model.language_model.embed_tokens": "language",
    },
    "mllama": {
        "model.vision_model.transformer": "vision",
        "model.multi_modal_projector": "projector",
        "model.language_model.layers.0.cross_attn": "language",
    },
    "llama4": {
        "vision_model.vision_adapter.mlp.fc1": "vision",
        "multi_modal_projector.linear_1": "projector",
        "language_model.lm_head": "language",
    },
    "smolvlm": {"model.vision_model": "vision", "model.connector": "projector", "model.text_model": "language"},
    "idefics2": {"model.vision_model": "vision", "model.connector.perceiver_resampler": "projector"},
    "qwen2_audio": {"model.audio_tower.layers.0": "audio", "model.multi_modal_projector.linear": "projector"},
    "qwen2_vl": {
        "model.visual.blocks.0.attn.qkv": "vision",
        "model.visual.patch_embed.proj": "vision",
        "model.visual.merger.mlp.0": "projector",
        "model.language_model.norm": "language",
        "lm_head": "language",
    },
    "qwen2_5_vl": {"model.visual.merger.ln_q": "projector", "model.visual.blocks.0.mlp.up_proj": "vision"},
    "qwen3_vl": {
        "model.visual.merger.linear_fc1": "projector",
        "model.visual.deepstack_merger_list.0.linear_fc2": "projector",
        "model.visual.pos_embed": "vision",
    },
    "glm4v": {"model.visual.merger.proj": "projector", "model.visual.post_layernorm": "vision"},
    "qwen2_5_omni_thinker": {
        "model.visual.merger.mlp.0": "projector",
        "model.audio_tower.proj": "projector",
        "model.visual.blocks.0.attn.q": "vision",
        "model.audio_tower.conv1": "audio",
        "model.language_model.layers.0.mlp": "language",
    },
}
_QUICK = {"llava_next", "qwen2_vl", "qwen2_audio", "qwen2_5_omni_thinker"}  # the others take seconds to import


def _made(kind: str) -> Any:
    name, options = _FAMILIES[kind]
    with torch.device("meta"):
        return getattr(transformers, f"{name}ForConditionalGeneration")(
            transformers.AutoConfig.for_model(kind, **options)
        )


@pytest.mark.parametrize("kinds", [_QUICK, pytest.param(set(_PLACES) - _QUICK, marks=pytest.mark.slow)])
def test_the_parts_of_families_are_where_their_checkpoints_have_them(kinds: set[str]) -> None:
    for kind in sorted(kinds):
        model, places = _made(kind), _PLACES[kind]
        names = [name for name, _ in [*model.named_modules(), *model.named_parameters()]]
        if (
            kind == "qwen2_5_omni_thinker" and "visual" in names
        ):  # so with transformers 5.17, where `model` is the text's
            places = {place.removeprefix("model.").replace("language_", ""): part for place, part in places.items()}
        assert not set(places) - set(names), f"{kind}: {set(places) - set(names)}"
        parts = parts_in(model)
        assert {place: parts.of(place) for place in places} == places, kind
        wrapped = next(iter(places))
        assert parts.of(f"base_model.model.{wrapped}.lora_A.default.weight") == places[wrapped], "as peft names it"
        assert {"language", "projector"} < set(parts.names)


def test_a_model_that_only_writes_is_one_part() -> None:
    with torch.device("meta"):
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**_TEXT))
    parts = parts_in(model)
    assert parts.names == ["language"] and parts.places == ()
    with pytest.raises(TunesmithError, match="vision: this model has no such part"):
        parts.refuse_missing("adapter.towers", ["language", "vision"])


def test_a_tower_is_whatever_there_is() -> None:
    parts = parts_in(_made("qwen2_5_omni_thinker"))
    assert parts.chosen(["tower"]) == {"vision", "audio"}
    assert parts.chosen(["language", "audio"]) == {"language", "audio"}
    without = left_out(_made("qwen2_5_omni_thinker"), ["language", "vision"])
    assert [place.removeprefix("model.") for place in without] == ["audio_tower", "visual.merger"]
    assert "model.visual.merger" not in left_out(_made("qwen2_vl"), ["language", "projector"])
    assert "model.visual.blocks" in left_out(_made("qwen2_vl"), ["language", "projector"])
    assert parts_in(_made("qwen2_audio")).chosen(["tower"]) == {"audio"}


def test_the_parts_of_a_folder_are_read_without_its_weights(tmp_path: Path) -> None:
    config = transformers.AutoConfig.for_model("llava_next", **_FAMILIES["llava_next"][1])
    said = config.to_dict() | {"architectures": ["LlavaNextForConditionalGeneration"]}
    (tmp_path / "config.json").write_text(json.dumps(said))
    projector, tower = "model.multi_modal_projector", "model.vision_tower"
    assert set(left_out_of_folder(tmp_path, ["language"])) == {projector, tower}
    assert left_out_of_folder(tmp_path, ["language", "vision", "audio"]) == [projector]
    assert set(left_out_of_folder(tmp_path, ["projector"])) == {"model.language_model", "lm_head", tower}
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"], "model_type": "llama"}))
    assert left_out_of_folder(tmp_path, ["language"]) == []


def test_an_option_that_names_no_part_or_one_twice_is_a_problem() -> None:
    assert towers_problems(["language", "projector"]) == []
    assert "no part" in towers_problems([])[0].message
    assert "vision more than once" in towers_problems(["vision", "vision"])[0].message


def test_a_layer_that_has_a_number_for_a_name_is_told_by_what_it_stands_in() -> None:
    counts = {"model.visual.merger.mlp.0": 10, "model.layers.3.mlp.gate": 30, "lm_head": 60}
    assert share(counts, ["lm_head"]) == ("60% of the weights", "not: mlp.gate (30%), merger.mlp (10%)")
