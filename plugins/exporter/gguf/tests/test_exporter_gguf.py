"""GGUF files of a run: as the suite asks, and in llama.cpp what was trained."""

import dataclasses
import json
import re
import shutil
from pathlib import Path
from typing import Any, ClassVar

import gguf
import pytest
from tunesmith import TunesmithError
from tunesmith_exporter_gguf import Gguf
from tunesmith_library_testing import ExporterSuite, damage
from tunesmith_library_testing.parts import CHATML, StubPlan, handle_of
from tunesmith_library_testing.tiny import save_tiny_model


class TestGguf(ExporterSuite):
    plugin = Gguf
    options: ClassVar[dict[str, Any]] = {"verify": False}  # llama.cpp is for the slow tests
    for_transformers: ClassVar[bool] = False


def test_a_file_of_each_kind(tiny_llama: Path, tiny_bpe: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    exporter = Gguf(type=["f16", "Q8_0"], verify=False)
    with caplog.at_level("INFO", "tunesmith"):
        out = exporter.export(handle_of(tiny_llama, tiny_bpe, template=CHATML.bind(tiny_bpe)), tmp_path / "sea-gguf")
    assert sorted(file.name for file in out.iterdir()) == ["sea-F16.gguf", "sea-Q8_0.gguf"]
    assert "not proven" in caplog.text and "F16 16, F32 5" in caplog.text and "F32 5, Q8_0 16" in caplog.text
    reader = gguf.GGUFReader(out / "sea-Q8_0.gguf")
    assert reader.fields["tokenizer.chat_template"].contents() == CHATML.bind(tiny_bpe).exported
    assert reader.fields["general.name"].contents() == "sea"
    end = tiny_bpe.convert_tokens_to_ids("<|im_end|>")
    assert reader.fields["tokenizer.ggml.eot_token_id"].contents() == end


def test_another_architecture_is_refused_before_it_is_loaded(tiny_bpe: Any, tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "base", architecture="gpt_neox", tokenizer=tiny_bpe)

    def load() -> Any:
        raise AssertionError("it was loaded")

    with pytest.raises(TunesmithError, match=r"(?s)gpt_neox are not written as GGUF.*qwen3_moe"):
        Gguf(verify=False).export(handle_of(folder, tiny_bpe, load=load), tmp_path / "out")
    assert [entry.name for entry in tmp_path.iterdir()] == ["base"]


def test_a_whole_model_has_no_adapter(tiny_llama: Path, tiny_bpe: Any, tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match=r"(?s)trained no adapter.*adapter=false"):
        Gguf(adapter=True, type="f16", verify=False).export(handle_of(tiny_llama, tiny_bpe), tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        ({"type": "f16", "verify": False}, []),
        ({"type": "q9", "verify": False}, ["exporter.gguf.type"]),
        ({"type": "q8_0", "adapter": True, "verify": False}, ["exporter.gguf.type"]),
        ({"adapter": True, "verify": False}, []),
        ({"type": ["f16", "iq2_xs"]}, ["exporter.gguf.type", "exporter.gguf"]),
        ({"type": "f16"}, ["exporter.gguf"]),
        ({"type": "f16", "verify": False, "imatrix": True}, ["exporter.gguf"]),
        ({"type": "f16", "verify": False, "converter": "nowhere"}, ["exporter.gguf.converter"]),
    ],
)
def test_check(options: dict[str, Any], keys: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where llama-cpp-python is not installed."""
    monkeypatch.setattr("tunesmith_library_gguf.plans.is_installed", lambda: False)
    exporter = Gguf(**options)
    problems = exporter.check(StubPlan({"exporter": {"gguf": exporter}}, "export"))
    assert [str(problem.key) for problem in problems] == keys


def test_few_bits_are_not_merged_into() -> None:
    exporter = Gguf(verify=False)
    plan = StubPlan({"exporter": {"gguf": exporter}, "quantizer": {"hqq": None}}, "export")
    (problem,) = exporter.check(plan)
    assert problem.key == "quantizer" and "quantizer=null" in problem.advice


def test_an_adapter_over_a_stored_base_of_few_bits(tiny_llama: Path, tiny_bpe: Any, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_llama, tmp_path / "base")
    said = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**said, "quantization_config": {"quant_method": "gptq"}}))
    handle = dataclasses.replace(handle_of(folder, tiny_bpe), adapter=tmp_path)
    with pytest.raises(TunesmithError, match=r"(?s)stored in few bits.*adapter=false"):
        Gguf(adapter=True, type="f16", verify=False).export(handle, tmp_path / "out")


# ---- in llama.cpp --------------------------------------------------------------------------------------------------


def flipped(file: Path) -> None:
    """One value of a tensor, in the embeddings of a token that no conversation has."""
    tensor = next(tensor for tensor in gguf.GGUFReader(file).tensors if tensor.name == "token_embd.weight")
    held = bytearray(file.read_bytes())
    held[tensor.data_offset + 5] ^= 0x40
    file.write_bytes(held)


def replaced(old: bytes, new: bytes) -> Any:
    """The first of some bytes are others."""

    def happen(file: Path) -> None:
        held = file.read_bytes()
        assert old in held
        file.write_bytes(held.replace(old, new, 1))

    return happen


DAMAGES: dict[str, tuple[Any, str]] = {
    "a value": (flipped, r"1 tensors have other values .* token_embd\.weight"),
    "a tensor's name": (replaced(b"blk.1.ffn_up", b"blk.1.ffn_ub"), r"are missing in the file, such as blk\.1\.ffn_up"),
    "a token": (
        replaced(b"<|im_end|>", b"<|im_ned|>"),
        r"(?s)tokens is another in the file: item 4.*token \d+ of a conv",
    ),
    "the end": (
        replaced(b"eos_token_id\x04\x00\x00\x00\x01", b"eos_token_id\x04\x00\x00\x00\x07"),
        r"eos_token_id is another in the file: '7', and was to be '1'",
    ),
    "a character of the template": (
        replaced(b"assistant\\n'", b"assistant\\t'"),
        r"the template writes .*assistant\\t",
    ),
    "the positions": (
        replaced(b"rope.freq_base\x06\x00\x00\x00\x00\x40", b"rope.freq_base\x06\x00\x00\x00\x00\x80"),
        r"llama\.rope\.freq_base is another in the file",
    ),
}


@pytest.mark.slow
def test_what_is_broken_is_named_and_not_kept(tiny_llama: Path, tiny_bpe: Any, tmp_path: Path) -> None:
    pytest.importorskip("llama_cpp", reason="the program that runs the files is not installed")
    from tunesmith_library_gguf import exporting

    handle = handle_of(tiny_llama, tiny_bpe, template=CHATML.bind(tiny_bpe))
    with handle.shared:
        for what, (happen, named) in DAMAGES.items():

            def damaged(folder: Path, happen: Any = happen) -> None:
                for file in folder.glob("*.gguf"):
                    happen(file)

            place = tmp_path / what
            broken = damage.written_by(exporting, "write_model", damaged, lambda file, *_: file.parent)
            with broken, pytest.raises(TunesmithError, match=r"is not the model that was trained") as error:
                Gguf(type="q8_0").export(handle, place / "out")
            assert re.search(named, str(error.value)), f"{what}: {error.value}"
            left = [entry.name for entry in place.iterdir() if not entry.name.startswith(".out-")]
            assert not left, "the merged model, which the command's exporters share, is all that is there"


@pytest.mark.slow
def test_importance_of_the_runs_conversations(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Two bits need it, and what does not fit them is said."""
    pytest.importorskip("llama_cpp", reason="the program that runs the files is not installed")
    from tunesmith_library_testing.tiny import tiny_tokenizer

    tokenizer = tiny_tokenizer()
    folder = save_tiny_model(
        tmp_path / "base", hidden_size=256, intermediate_size=320, layers=1, tokenizer=tokenizer, dtype="bfloat16"
    )
    exporter = Gguf(type=["iq2_xs", "bf16"], imatrix=True)
    with caplog.at_level("INFO", "tunesmith"):
        handle = handle_of(folder, tokenizer, template=CHATML.bind(tokenizer))
        with handle.shared:
            out = exporter.export(handle, tmp_path / "sea-gguf")
    assert "importance matrix: 2 conversations" in caplog.text and "rows that do not fit the numbers" in caplog.text
    assert sorted(file.name for file in out.iterdir()) == ["export_report.json", "sea-BF16.gguf", "sea-IQ2_XS.gguf"]
    report = json.loads((out / "export_report.json").read_text())["files"]
    assert report["sea-BF16.gguf"]["figures"]["divergence"] < 1e-4 < report["sea-IQ2_XS.gguf"]["figures"]["divergence"]
    assert report["sea-IQ2_XS.gguf"]["tensors"]["types"]["IQ2_XS"] > 2
    assert sum(report["sea-IQ2_XS.gguf"]["tensors"]["fell_back"].values()) == 1, "rows of 320 are no multiple of 256"
