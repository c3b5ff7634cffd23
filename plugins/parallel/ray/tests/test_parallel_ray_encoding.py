"""`tunesmith data encode … parallel=ray`: the same examples as encoding them here, which runs then find and stream."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tunesmith
from click.testing import CliRunner
from tunesmith import DataError
from tunesmith_command_data import Data
from tunesmith_library_caching import read_about
from tunesmith_parallel_ray.mapping import Worker


def config_of(tiny_llama: Path, folder: Path, **data: Any) -> dict[str, Any]:
    rows = [{"instruction": f"Say {n}.", "output": f"The tide turns {n} times. " * (1 + n % 5)} for n in range(90)]
    files = [folder / "train.jsonl", folder / "held.json"]
    files[0].write_text("".join(json.dumps(row) + "\n" for row in rows))
    files[1].write_text(json.dumps(rows[:7]))
    return {
        "model": {"path": str(tiny_llama)},
        "template": "chatml",
        "data": {"train": [str(files[0])], "eval": [str(files[1])], "batch_size": 4, **data},
        "stage": "sft",
        "adapter": "lora",
        "tracker": ["jsonl"],
        "precision": "fp32",
        "output_dir": str(folder / "run"),
        "trainer": {"max_steps": 3, "logging_steps": 1, "save_strategy": "no", "use_cpu": True, "eval_strategy": "no"},
    }


def examples_of(config: dict[str, Any], *overrides: str) -> dict[str, list[dict[str, list[int]]]]:
    from tunesmith_command_data.encoded import show

    _, splits = show(config, list(overrides))
    sets = {"train": splits.train, **splits.eval}
    return {
        name: [{column: list(map(int, value)) for column, value in examples[at].items()} for at in range(len(examples))]
        for name, examples in sets.items()
    }


@pytest.mark.slow
def test_what_ray_encoded_is_what_runs_train_on(
    cluster: str, tiny_llama: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The command tells what there is; a run takes it, whole or as a stream, and encodes nothing but the first rows."""
    config = config_of(tiny_llama, tmp_path)
    expected = examples_of(config, f"data.cache_dir={tmp_path / 'here'}")
    (tmp_path / "my.yaml").write_text(json.dumps(config))
    words = ["encode", str(tmp_path / "my.yaml"), "parallel=ray", "parallel.processes=2", "--output"]
    done = CliRunner().invoke(Data().command(), [*words, str(tmp_path / "there")])
    assert done.exit_code == 0, done.output
    assert f"a run takes them with data.cache_dir={tmp_path / 'there'}" in done.output
    (train,) = (about for about in abouts_of(tmp_path / "there") if about["name"] == "train")
    assert (train["records"], train["examples"], len(train["shards"])) == (90, 90, 23)
    tokens = sum(len(example["input_ids"]) for example in expected["train"])
    assert train["tally"]["sizes"]["tokens"] == tokens
    with caplog.at_level("INFO"):
        assert examples_of(config, f"data.cache_dir={tmp_path / 'there'}") == expected
        streamed = {"data.streaming": True, "data.cache_dir": str(tmp_path / "there")}
        run = tunesmith.train(config, {**streamed, "parallel": "ray", "parallel.processes": 2})
    assert (run / "adapter_model.safetensors").is_file()
    assert "from the cache" in caplog.text
    again = CliRunner().invoke(Data().command(), [*words, str(tmp_path / "there")])
    assert again.exit_code == 0, again.output


def abouts_of(folder: Path) -> list[dict[str, Any]]:
    return [read_about(file.parent) for file in folder.glob("*/about.json")]


@pytest.mark.slow
def test_what_is_wrong_with_data_is_told_as_here(cluster: str, tiny_llama: Path, tmp_path: Path) -> None:
    """By its file and line, without a traceback of Ray's; a shard that is finished stays."""
    config = config_of(tiny_llama, tmp_path)
    file = tmp_path / "train.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join([*lines[:70], '{"instruction": "half\n', *lines[71:]]))
    (tmp_path / "my.yaml").write_text(json.dumps(config))
    words = ["encode", str(tmp_path / "my.yaml"), "parallel=ray", "--output", str(tmp_path / "there")]
    done = CliRunner().invoke(Data().command(), words)
    assert isinstance(done.exception, DataError)
    assert str(done.exception).startswith(f"data.train[0]: {file}, line 71")
    assert list((tmp_path / "there").glob("*.part"))


def test_a_mistake_is_an_answer() -> None:
    """So that no other machine tries again what cannot be."""

    def make() -> Any:
        raise tunesmith.TunesmithError("no such plugin")

    assert Worker(make)({"task": ["{}"]}) == {"answer": ['{"fault": "no such plugin"}']}
    assert Worker(lambda: lambda task: {"twice": 2 * task["n"]})({"task": ['{"n": 3}']}) == {"answer": ['{"twice": 6}']}
