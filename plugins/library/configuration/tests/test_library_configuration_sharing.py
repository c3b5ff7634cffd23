"""What parts of one piece of work share, and where their results go."""

from pathlib import Path

import pytest
from tunesmith_library_configuration.errors import ConfigError
from tunesmith_library_configuration.sharing import Shared
from tunesmith_library_configuration.targets import export_targets


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
