"""GGUF files of a run: as the suite asks, and in llama.cpp what was trained."""

from pathlib import Path
from typing import Any, ClassVar

import gguf
import pytest
from tunesmith import TunesmithError
from tunesmith_exporter_gguf import Gguf
from tunesmith_library_testing import ExporterSuite
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
    assert reader.get_field("tokenizer.chat_template").contents() == CHATML.bind(tiny_bpe).exported
    assert reader.get_field("general.name").contents() == "sea"
    end = tiny_bpe.convert_tokens_to_ids("<|im_end|>")
    assert reader.get_field("tokenizer.ggml.eot_token_id").contents() == end


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
