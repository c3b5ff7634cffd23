"""The file of what reads pictures: every tensor of a tower is looked for in it, and what is wrong is named.

`TUNESMITH_LLAMA_CPP` names a folder of llama.cpp's source, whose converter the slow tests run.
"""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tunesmith import TunesmithError
from tunesmith_library_gguf.exporting import Wanted, export_gguf
from tunesmith_library_gguf.projectors import Placed, compare, refuse_projector, write_projector
from tunesmith_library_gguf.towers import projector_problems
from tunesmith_library_testing.parts import CHATML, StubPlan, handle_of

READS = {"model_type": "qwen3_vl", "vision_config": {"depth": 1}}


def tower() -> dict[str, torch.Tensor]:
    """A tower's weights as published models name them, beside two of a language model's."""
    torch.manual_seed(0)
    shapes = {
        "model.language_model.norm.weight": (4,),
        "lm_head.weight": (9, 4),
        "visual.patch_embed.proj.weight": (4, 3, 2, 2, 2),  # two pictures in one
        "visual.blocks.0.attn.qkv.weight": (12, 4),  # queries, keys and values in one
        "vision_tower.vision_model.encoder.layers.0.self_attn.q_proj.weight": (4, 4),
        "vision_tower.vision_model.encoder.layers.0.self_attn.k_proj.weight": (4, 4),
        "vision_tower.vision_model.head.probe": (1, 1, 4),
        "multi_modal_projector.mm_soft_emb_norm.weight": (4,),
        "multi_modal_projector.mm_input_projection_weight": (4, 4),
        "audio_tower.conv.weight": (4, 4),
    }
    return {name: torch.randn(shape) for name, shape in shapes.items()}


def converted(weights: dict[str, torch.Tensor]) -> dict[str, np.ndarray[Any, Any]]:
    """The tensors of the file that llama.cpp's converter makes of them: matrices in 16 bits, vectors in 32."""
    held = {name.rpartition("layers.0.")[2]: value.numpy() for name, value in weights.items()}
    patches, joined = held["visual.patch_embed.proj.weight"], held["visual.blocks.0.attn.qkv.weight"]
    tensors = {
        "v.patch_embd.weight": patches[:, :, 0],
        "v.patch_embd.weight.1": patches[:, :, 1],
        "v.blk.1.attn_q.weight": joined[:4],
        "v.blk.1.attn_k.weight": joined[4:8],
        "v.blk.1.attn_v.weight": joined[8:],
        "v.blk.0.attn_q.weight": held["self_attn.q_proj.weight"][[0, 2, 1, 3]],  # rows in the order of rotation
        "v.blk.0.attn_k.weight": held["self_attn.k_proj.weight"],
        "mm.soft_emb_norm.weight": held["multi_modal_projector.mm_soft_emb_norm.weight"] + 1,
        "mm.input_projection.weight": held["multi_modal_projector.mm_input_projection_weight"],
        "v.token_embd.img_break": np.ones(4, np.float32),
    }
    return {name: value.astype(np.float16 if value.ndim > 1 else np.float32) for name, value in tensors.items()}


def placed(folder: Path, tensors: dict[str, np.ndarray[Any, Any]], weights: dict[str, torch.Tensor]) -> Placed:
    """What is found when the file holds these tensors."""
    save_file(weights, folder / "model.safetensors")
    writer = gguf.GGUFWriter(folder / "mmproj.gguf", "clip")
    for name, value in tensors.items():
        writer.add_tensor(name, np.ascontiguousarray(value))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return compare(folder, folder / "mmproj.gguf")


def test_every_tensor_of_a_tower_has_a_place_or_is_named(tmp_path: Path) -> None:
    weights = tower()
    found = placed(tmp_path, converted(weights), weights)
    assert not list(found.problems())
    assert (found.tower, found.named, found.found) == (8, 4, 2)
    assert found.left == ("audio_tower.conv.weight", "vision_tower.vision_model.head.probe")
    assert found.further == ("v.token_embd.img_break",)


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    weights = tower()
    tensors = converted(weights)
    key, query = "v.blk.0.attn_k.weight", "v.blk.0.attn_q.weight"
    changed = tensors[key].copy()
    changed[1, 2] += 0.01
    cases: dict[str, tuple[dict[str, Any], str]] = {
        "a value": ({key: changed}, r"^1 tensors have other values in it: vision_tower.*k_proj"),
        "two for each other": ({key: tensors[query], query: tensors[key]}, r"^2 tensors have other .*k_proj.*q_proj"),
        "a piece": ({"v.patch_embd.weight.1": tensors["v.patch_embd.weight"]}, r"values in it: visual\.patch_embed"),
        "a shape": ({key: changed[:2]}, r"k_proj"),
        "one that is not there": ({key: None}, r"^1 tensors are missing in it: vision_tower.*k_proj"),
        "all": (dict.fromkeys(tensors), r"^none of the 8 tensors"),
    }
    for what, (others, expected) in cases.items():
        folder = tmp_path / what
        folder.mkdir()
        held = {name: value for name, value in (tensors | others).items() if value is not None}
        problems = list(placed(folder, held | {"further": np.ones(3, np.float32)}, weights).problems())
        assert len(problems) == 1, what
        assert re.search(expected, problems[0]), f"{what}: {problems}"


def test_values_beyond_float16_are_wrong(tmp_path: Path) -> None:
    weights = tower()
    weights["audio_tower.conv.weight"][0, 0] = 1e5
    weights["vision_tower.vision_model.encoder.layers.0.self_attn.k_proj.weight"][0, 0] = 1e5
    with np.errstate(over="ignore"):
        tensors = converted(weights)
    (problem,) = placed(tmp_path, tensors, weights).problems()
    assert re.search(r"^1 tensors have other values in it: vision_tower.*k_proj\.weight$", problem)


def test_how_a_projector_is_written_is_said_where_none_is_asked_for(
    tiny_llama: Path, tiny_bpe: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a model that the converter writes; it is loaded after that."""
    folder = shutil.copytree(tiny_llama, tmp_path / "base")
    (folder / "config.json").write_text(json.dumps({**json.loads((folder / "config.json").read_text()), **READS}))

    def load() -> Any:
        raise InterruptedError

    handle = handle_of(folder, tiny_bpe, load=load)
    with pytest.raises(InterruptedError), caplog.at_level("INFO", "tunesmith"):
        export_gguf(handle, tmp_path / "out", Wanted(verify=False, converter=tmp_path))
    assert re.search(r"reads pictures \(mmproj\) is not written; exporter\.gguf\.mmproj=true", caplog.text)


def script(folder: Path, body: str) -> Path:
    """A folder with a converter that does what a test wants."""
    folder.mkdir()
    (folder / "convert_hf_to_gguf.py").write_text(body)
    return folder


def test_what_keeps_a_projector_from_being_written_is_said_before_anything_is_loaded(tmp_path: Path) -> None:
    said = tmp_path / "config.json"
    said.write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(TunesmithError, match=r"(?s)of type llama, has no part that reads pictures.*mmproj=false"):
        refuse_projector(tmp_path, tmp_path)
    said.write_text(json.dumps(READS))
    with pytest.raises(TunesmithError, match=r"(?s)converter names none.*vendor/llama\.cpp"):
        refuse_projector(tmp_path, None)
    with pytest.raises(TunesmithError, match=r"has no convert_hf_to_gguf\.py"):
        refuse_projector(tmp_path, tmp_path)
    refusing = "import sys; sys.exit('ERROR:hf-to-gguf:Model SeaForConditionalGeneration is not supported')"
    with pytest.raises(TunesmithError, match=r"(?s)does not know projectors .* of SeaFor.*--print-supported-models"):
        refuse_projector(tmp_path, script(tmp_path / "refusing", refusing))
    refuse_projector(tmp_path, script(tmp_path / "agreeing", "import sys; assert '--mmproj' in sys.argv"))
    said.write_text(json.dumps({**READS, "quantization_config": {}}))
    refuse_projector(tmp_path, tmp_path / "refusing")  # a base in few bits: the merged model is what is converted


def test_problems_of_a_plan(tmp_path: Path) -> None:
    for name, config in {"text": {"model_type": "llama"}, "sea": READS}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(config))

    def found(name: str, converter: str | None, adapter: bool = False) -> list[str]:
        plan = StubPlan({}, "export", {"model.path": str(tmp_path / name)})
        return [problem.message for problem in projector_problems(plan, "exporter.gguf", converter, adapter)]

    assert found("sea", "llama.cpp") == [] and found("far/away", "llama.cpp") == []
    assert "names none" in found("sea", None)[0] and "of type llama" in found("text", "llama.cpp")[0]
    assert "the adapter alone" in found("sea", "llama.cpp", adapter=True)[0]


# ---- by llama.cpp's converter --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def converter() -> Path:
    source = os.environ.get("TUNESMITH_LLAMA_CPP")
    if source is None:
        pytest.skip("TUNESMITH_LLAMA_CPP names no folder of llama.cpp, whose converter writes projectors")
    return Path(source)


def saved(model: Any, folder: Path) -> Path:
    """A model with a tower in a folder, its vectors other than zeros and ones, and what its pictures are made to."""
    for weight in model.parameters():
        if weight.ndim == 1:
            torch.nn.init.normal_(weight)
    model.save_pretrained(folder)
    said = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "size": {"longest_edge": 56}}
    (folder / "preprocessor_config.json").write_text(json.dumps(said))
    return folder


TEXT = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "head_dim": 16}
TEXT |= {"num_attention_heads": 4, "num_key_value_heads": 2}
SEES = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2, "patch_size": 14}


@pytest.mark.slow
def test_the_converters_file_holds_the_tower_of_qwen(converter: Path, tmp_path: Path) -> None:
    import transformers

    vision = SEES | {"depth": 3, "num_heads": 2, "out_hidden_size": 64, "fullatt_block_indexes": [1]}
    rope = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0}
    text: dict[str, Any] = {**TEXT, "vocab_size": 64, "rope_parameters": rope}
    config = transformers.Qwen2_5_VLConfig(text_config=text, vision_config=vision)
    folder = saved(transformers.Qwen2_5_VLForConditionalGeneration(config), tmp_path / "qwen")
    write_projector(folder, tmp_path / "sea-mmproj-F16.gguf", converter, verify=True)
    told = json.loads((tmp_path / "export_report.json").read_text())["projector"]
    outside = [name for name in load_file(folder / "model.safetensors") if name.startswith("visual.")]
    assert told["tower"] == told["named"] + told["found"] == len(outside) > 30
    assert told["found"] == 2 * 3 + 1, "queries, keys and values of each layer, and the patches of two pictures"
    assert told["proven"] is False and "has not run" in told["why"] and not told["further"]


@pytest.mark.slow
def test_a_model_that_reads_pictures_is_two_files(
    converter: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Gemma 3: the language model is written here, and the tower by the converter."""
    import transformers
    from tunesmith_library_testing.gguf_models import piece_tokenizer

    tokenizer, folder = piece_tokenizer(), tmp_path / "base"
    text = {**TEXT, "vocab_size": len(tokenizer), "query_pre_attn_scalar": 16}
    vision = SEES | {"num_hidden_layers": 1, "image_size": 28, "vision_use_head": False}
    config = transformers.Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4)
    saved(transformers.Gemma3ForConditionalGeneration(config), folder)
    weights = load_file(folder / "model.safetensors")
    published = {name.replace("vision_tower.", "vision_tower.vision_model."): held for name, held in weights.items()}
    save_file(published, folder / "model.safetensors", {"format": "pt"})
    tokenizer.save_pretrained(folder)
    handle = handle_of(folder, tokenizer, template=CHATML.bind(tokenizer))
    with handle.shared, caplog.at_level("INFO", "tunesmith"):
        export_gguf(handle, tmp_path / "sea", Wanted(("f16",), verify=False, converter=converter, projector=True))
    assert sorted(file.name for file in (tmp_path / "sea").iterdir()) == ["sea-F16.gguf", "sea-mmproj-F16.gguf"]
    assert "not compared: exporter.verify=false" in caplog.text and "are left out" not in caplog.text
    found = compare(folder, tmp_path / "sea" / "sea-mmproj-F16.gguf")
    assert found.tower == found.named + found.found == len([name for name in weights if "language_model" not in name])
    assert not list(found.problems())
