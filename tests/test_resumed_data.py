"""Runs that go on in the middle of their data: fresh samples and streams, from files to weights."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tunesmith
from tunesmith_library_configuration.manifests import told
from tunesmith_library_configuration.records import MARKER
from tunesmith_library_testing.parts import records
from tunesmith_library_training.bad_data import BadData

STREAM: dict[str, Any] = {"data.streaming": True, "data.shuffle_buffer": 7, "data.batch_size": 3}
KINDS: dict[str, dict[str, Any]] = {
    "fresh samples": {"data.resample": True},
    "fresh samples, interleaved": {"data.resample": True, "data.mix": "interleave_over"},
    "a stream": STREAM,
    "a stream, interleaved": {**STREAM, "data.mix": "interleave_under", "data.train.0.weight": 3.0},
    "a stream, two workers": {**STREAM, "trainer.dataloader_num_workers": 2},
}


def config(model: Path, folder: Path) -> dict[str, Any]:
    sets = []
    for name, number in (("tides", 17), ("whales", 30)):
        rows = [{"instruction": f"Say {n}.", "output": f"{name} {n}" * (n % 3 + 1)} for n in range(number)]
        path = folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        sets.append({"path": str(path), "format": "alpaca"})
    return {
        "model": {"path": str(model)},
        "template": "chatml",
        "data": {"train": sets, "cache": False},
        "stage": {"name": "sft", "max_length": 128},
        "adapter": "lora",
        "tracker": ["jsonl"],
        "precision": "fp32",
        "trainer": {
            "max_steps": 11,
            "per_device_train_batch_size": 2,
            "gradient_accumulation_steps": 2,
            "learning_rate": 1e-2,
            "logging_steps": 1,
            "save_steps": 5,
            "save_total_limit": None,
        },
    }


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_from_its_middle(kind: str, tiny_llama: Path, tmp_path: Path) -> None:
    """The checkpoint of step 5 leads to the same weights and losses, byte by byte."""
    settings = config(tiny_llama, tmp_path)
    if "fresh" in kind:
        settings["data"]["train"][0]["samples"] = 5
        settings["data"]["train"][1]["samples"] = 8
    changes = {name: value for name, value in KINDS[kind].items() if name != "data.train.0.weight"}
    settings["data"]["train"][0]["weight"] = KINDS[kind].get("data.train.0.weight", 1.0)
    whole = tunesmith.train(settings, {**changes, "output_dir": str(tmp_path / "whole")})
    cut = tmp_path / "cut"
    shutil.copytree(whole, cut)
    for later in (cut / "checkpoint-10", cut / "checkpoint-11"):
        shutil.rmtree(later, ignore_errors=True)
    (cut / "adapter_model.safetensors").unlink()
    tunesmith.train(settings, {**changes, "output_dir": str(cut), "resume": True})
    made = [(folder / "adapter_model.safetensors").read_bytes() for folder in (whole, cut)]
    assert made[0] == made[1]
    losses = [{event["step"]: event["loss"] for event in records(folder) if "loss" in event} for folder in (whole, cut)]
    assert losses[0] == losses[1] and len(losses[0]) == 11
    last = [[event for event in records(folder) if "loss" in event][-1] for folder in (whole, cut)]
    counts = [
        {name: event[name] for name in event if name.startswith(("examples_of_", "tokens_of_"))} for event in last
    ]
    assert counts[0] == counts[1] and counts[0]["tokens_of_tides"] > 0
    examples = counts[0]["examples_of_tides"], counts[0]["examples_of_whales"]
    if "stream" in kind:
        assert sum(examples) == 11 * 4
    elif kind == "fresh samples":  # two epochs of 13, and three steps of 4
        assert sum(examples) == 38 and examples[0] / examples[1] == pytest.approx(5 / 8, abs=0.15)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_mended_row(workers: int, tiny_llama: Path, tmp_path: Path) -> None:
    """A run over a stream that met a row that is no JSON goes on as if it were right, wherever the lines stand now."""
    settings = config(tiny_llama, tmp_path)
    file = tmp_path / "whales.jsonl"
    right = file.read_text().splitlines(keepends=True)
    changes = {**STREAM, "trainer.dataloader_num_workers": workers}
    whole = tunesmith.train(settings, {**changes, "output_dir": str(tmp_path / "whole")})
    cut = tmp_path / "cut"
    file.write_text("".join([*right[:20], right[20][:-5] + "\n", *right[21:]]))
    with pytest.raises(BadData, match=r"whales\.jsonl, line 21: (?s:.*)mend the row"):
        tunesmith.train(settings, {**changes, "output_dir": str(cut)})
    file.write_text("\n".join(right))  # with a blank line between them
    tunesmith.train(settings, {**changes, "output_dir": str(cut), "resume": True})
    made = [(folder / "adapter_model.safetensors").read_bytes() for folder in (whole, cut)]
    assert made[0] == made[1]


@pytest.mark.slow
def test_two_processes(tiny_llama: Path, tmp_path: Path) -> None:
    """Each process reads rows of its own, and goes on with them; one process alone goes on with the steps of both."""
    settings = config(tiny_llama, tmp_path)
    settings["trainer"] |= {"max_steps": 8, "use_cpu": True}
    settings["data"] |= {name.removeprefix("data."): value for name, value in STREAM.items()}
    (tmp_path / "run.yaml").write_text(json.dumps(settings))

    def train(folder: Path, *more: str, processes: int = 2) -> str:
        launcher = [sys.executable, "-m"]
        if processes > 1:
            launcher += ["torch.distributed.run", f"--nproc-per-node={processes}", "--standalone", "-m"]
        command = [*launcher, "tunesmith", "train", str(tmp_path / "run.yaml"), f"output_dir={folder}", *more]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    train(tmp_path / "whole")
    kept = told(tmp_path / "whole" / "checkpoint-5", MARKER)
    assert kept["stream"]["order"] == [0, 1] and kept["stream"]["states"].keys() == {"0", "1"}
    assert sum(examples for examples, _ in kept["counts"].values()) == 5 * 8
    for folder in (tmp_path / "cut", tmp_path / "alone"):
        shutil.copytree(tmp_path / "whole", folder)
        shutil.rmtree(folder / "checkpoint-8", ignore_errors=True)
        (folder / "adapter_model.safetensors").unlink()
    train(tmp_path / "cut", "resume=true")
    made = [(tmp_path / name / "adapter_model.safetensors").read_bytes() for name in ("whole", "cut")]
    assert made[0] == made[1]
    said = train(tmp_path / "alone", "resume=true", processes=1)
    assert "examples of a step: 8, as before" in said and "in another order" not in said
    kept, alone = (told(tmp_path / name / "checkpoint-8", MARKER) for name in ("whole", "alone"))
    assert alone["counts"] == kept["counts"] and alone["stream"] == kept["stream"], "the same rows, and as many tokens"
