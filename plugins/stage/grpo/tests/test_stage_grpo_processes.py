"""The stage on two processes: equal weights on both, rewards of all answers, evaluation in shares, one interruption."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["grpo", "rloo"])
def runs(request, tiny_llama, tmp_path_factory) -> Path:
    """What the program below writes on two processes."""
    folder = tmp_path_factory.mktemp(request.param)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    command = [*launcher, str(Path(__file__).resolve()), str(tiny_llama), str(folder), request.param]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def weights_of(folder: Path) -> dict:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def test_both_processes_hold_the_same_weights_and_the_reward_rises(runs):
    import torch

    first, second, saved = (weights_of(runs / name) for name in ("rank-0", "rank-1", "drawn"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert saved and all(torch.equal(first[name], saved[name]) for name in saved)
    told = json.loads((runs / "told.json").read_text())
    rewards = [step["reward"] for step in told if "reward" in step]
    assert len(rewards) == 30 and sum(rewards[-5:]) > 3 * sum(rewards[:5]), rewards


def test_the_reward_is_that_of_all_answers(runs):
    """Each process scores its own 8 of 16 answers, and a third of 3 held-out prompts or two of them."""
    told = json.loads((runs / "told.json").read_text())
    shares = [json.loads((runs / f"scores-{rank}.json").read_text()) for rank in (0, 1)]
    steps, evaluation = [step for step in told if "reward" in step], told[-1]
    for number in (0, 9, 29):
        scores = [score for share in shares for score in share[number]]
        assert len(scores) == 16 and steps[number]["reward"] == pytest.approx(sum(scores) / 16, abs=1e-6)
    scores = [score for share in shares for score in share[30]]
    assert [len(share[30]) for share in shares] == [2, 1]
    assert evaluation["eval_reward"] == evaluation["eval_held_reward"] == pytest.approx(sum(scores) / 3)


def test_both_processes_stop_when_one_is_interrupted(runs):
    import torch

    assert json.loads((runs / "cut.json").read_text()) == ["interrupted", "finished"]
    whole, cut = weights_of(runs / "whole"), weights_of(runs / "cut")
    assert all(torch.equal(whole[name], cut[name]) for name in whole)


def main(model: Path, folder: Path, name: str) -> None:
    """The program."""
    from safetensors.torch import save_file
    from test_stage_grpo import job_of, run, share_of_e
    from tunesmith.types import DatasetSplits, Evaluated, StepEnded
    from tunesmith_stage_grpo import Grpo, Rloo

    rank, stage = int(os.environ["RANK"]), {"grpo": Grpo, "rloo": Rloo}[name]
    scores, calls = [], []

    def score(prompts, completions, rows):
        scores.append(share_of_e(prompts, completions, rows)[0])
        return [scores[-1]]

    def interrupting(prompts, completions, rows):
        calls.append(len(completions))
        if rank == 1 and len(calls) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return share_of_e(prompts, completions, rows)

    size = {"per_device_train_batch_size": 8}
    job, events = job_of(model, folder / "drawn", score)
    job = replace(job, data=DatasetSplits(job.data.train, {"held": job.data.train[:3]}))
    assert run(
        job, {"beta": 0.01}, stage, max_steps=30, learning_rate=1e-2, eval_strategy="steps", eval_steps=30, **size
    )
    (folder / f"rank-{rank}").mkdir()
    save_file(dict(job.model.named_parameters()), folder / f"rank-{rank}" / "model.safetensors")
    (folder / f"scores-{rank}.json").write_text(json.dumps(scores))
    if rank == 0:
        told = [dict(event.metrics) for event in events if isinstance(event, StepEnded | Evaluated)]
        (folder / "told.json").write_text(json.dumps(told))

    assert run(job_of(model, folder / "whole")[0], stage=stage, max_steps=4, **size)
    found = [
        run(job_of(model, folder / "cut", interrupting)[0], stage=stage, max_steps=4, **size),
        run(job_of(model, folder / "cut", resume=True)[0], stage=stage, max_steps=4, **size),
    ]
    if rank == 0:
        (folder / "cut.json").write_text(json.dumps(["finished" if finished else "interrupted" for finished in found]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
