"""What parts of one piece of work share, and where their results go."""

from pathlib import Path

import pytest
from tunesmith_library_configuration.errors import ConfigError, TunesmithError
from tunesmith_library_configuration.sharing import Shared
from tunesmith_library_configuration.targets import each_written, export_targets


def test_things_are_made_once_and_put_away_at_the_end() -> None:
    shared, made, gone = Shared(), [], []
    assert shared.once("a", lambda: 1) == 1 and shared.get("a") is None, "nothing is kept outside of the block"
    with shared:
        for number in range(3):
            assert shared.once("a", lambda number=number: made.append(number) or number) == 0
        shared.offer("a", 7)
        shared.offer("b", 8)
        shared.callback(gone.append, True)
        assert (shared.get("a"), shared.get("b"), shared.get("c"), made, gone) == (0, 8, None, [0], [])
    assert gone == [True] and shared.get("b") is None


def test_targets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "sft"
    run.mkdir()
    beside = {"merged": tmp_path / "sft-merged", "gguf": tmp_path / "sft-gguf"}
    assert export_targets(["merged", "gguf"], None, run) == beside
    assert export_targets(["gguf"], tmp_path / "x", run) == {"gguf": tmp_path / "x"}
    assert export_targets(["merged", "gguf"], "~/x", run)["gguf"] == Path.home() / "x" / "gguf"
    monkeypatch.chdir(run)
    assert export_targets(["gguf"], None, Path(".")) == {"gguf": tmp_path / "sft-gguf"}
    (tmp_path / "sft-gguf").touch()
    with pytest.raises(ConfigError, match=r"sft-gguf exists already\.\nremove it"):
        export_targets(["merged", "gguf"], None, run)
    with pytest.raises(ConfigError, match="nothing is selected"):
        export_targets([], None, run)


def test_an_exporter_that_fails_keeps_none_of_the_others_from_being_tried(tmp_path: Path) -> None:
    targets = {name: tmp_path / name for name in ("merged", "gguf", "adapter")}

    def write(name: str, target: Path) -> Path:
        if name == "gguf":
            raise TunesmithError("llama.cpp knows no such model")
        target.mkdir()
        return target

    with pytest.raises(TunesmithError) as failed:
        each_written(targets, write)
    written = f"{tmp_path / 'merged'}, {tmp_path / 'adapter'}"
    assert str(failed.value) == f"exporter=gguf: llama.cpp knows no such model\nthe others are written: {written}"
    assert targets["adapter"].is_dir()
    with pytest.raises(TunesmithError, match=r"^llama\.cpp knows no such model$"):
        each_written({"gguf": tmp_path / "x"}, write)
