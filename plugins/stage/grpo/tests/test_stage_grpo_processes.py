"""The stage on two processes: as one process, whose answers are the same, and one interruption for both."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

STEPS = 4
SIZE = 16  # answers of a step, over all processes
SPREAD = ("fsdp", "resumed", "lora fsdp")  # on two processes


def start(processes: int, model: Path, folder: Path, stage: str) -> None:
    """Run this file as a program, with torchrun for several processes."""
    launcher = [sys.executable]
    if processes > 1:
        launcher += ["-m", "torch.distributed.run", f"--nproc-per-node={processes}", "--standalone"]
    command = [*launcher, str(Path(__file__).resolve()), str(model), str(folder), stage]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module", params=["grpo", "rloo"])
def runs(request, tiny_llama, tmp_path_factory) -> Path:
    """What the program below writes, alone and on two processes."""
    folder = tmp_path_factory.mktemp(request.param)
    for processes in (1, 2):
        start(processes, tiny_llama, folder, request.param)
    return folder


def weights_of(folder: Path) -> dict:
    from safetensors.torch import load_file

    (file,) = folder.glob("*.safetensors")
    return load_file(file)


def told(folder: Path, name: str) -> list:
    return json.loads((folder / f"{name}.json").read_text())


@pytest.mark.parametrize("name", ["drawn", "lora", *SPREAD])
def test_two_processes_learn_what_one_learns(runs, name):
    """Also of a model that is spread, whose reference is spread, too."""
    alike = {"fsdp": "drawn", "resumed": "drawn", "lora fsdp": "lora"}.get(name, name)
    alone, saved = weights_of(runs / f"{alike}-1"), weights_of(runs / f"{name}-2")
    # Adam, whose steps are 1e-3 per weight, magnifies how sums round
    assert alone and max(float((alone[weight] - saved[weight]).abs().max()) for weight in alone) < 1e-4
    one, two = told(runs, f"{alike}-1"), told(runs, f"{name}-2")
    assert len(one) == STEPS + 1
    if name == "resumed":
        one = one[STEPS // 2 :]
    assert len(one) == len(two)
    compared = ("loss", "reward", "reward_std", "entropy", "kl", "grad_norm", "completions/mean_length", "eval_reward")
    for index, (mine, other) in enumerate(zip(one, two, strict=True)):
        names = [name for name in compared if name in mine]
        assert {name: mine[name] for name in names} == pytest.approx(
            {name: other[name] for name in names}, rel=1e-5 if index == 0 else 1e-4, abs=1e-6
        )
    assert one[-1]["eval_reward"] == one[-1]["eval_held_reward"]


def test_both_processes_hold_the_same_weights(runs):
    import torch

    first, second, saved = (weights_of(runs / name) for name in ("rank-2-0", "rank-2-1", "drawn-2"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert saved and all(torch.equal(first[name], saved[name]) for name in saved)


def test_each_process_scores_its_own_answers(runs):
    """Half of a step's, and of 3 held-out prompts two or one; together those of one process."""
    (one,), two = ([told(runs, f"answers-{count}-{rank}") for rank in range(count)] for count in (1, 2))
    assert [len(step) for step in one] == [SIZE] * STEPS + [3]
    for step in range(STEPS):
        assert two[0][step] + two[1][step] == one[step] and len(two[0][step]) == SIZE // 2
    assert [two[0][-1][0], two[1][-1][0], two[0][-1][1]] == one[-1] and [len(each[-1]) for each in two] == [2, 1]


def test_both_processes_stop_when_one_is_interrupted(runs):
    import torch

    assert told(runs, "cut") == ["interrupted", "finished"]
    whole, cut = weights_of(runs / "whole"), weights_of(runs / "cut")
    assert all(torch.equal(whole[name], cut[name]) for name in whole)


def main(model: Path, folder: Path, name: str) -> None:
    """The program."""
    import torch
    from peft import LoraConfig, get_peft_model
    from safetensors.torch import save_file
    from test_stage_grpo import job_of, run, share_of_e
    from tunesmith.types import DatasetSplits, Evaluated, StepEnded
    from tunesmith_parallel_fsdp import Fsdp
    from tunesmith_stage_grpo import Grpo, Rloo

    rank, count = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    stage = {"grpo": Grpo, "rloo": Rloo}[name]
    answers, calls = [], []

    def write(name: str, content: object) -> None:
        (folder / f"{name}.json").write_text(json.dumps(content))

    def score(prompts, completions, rows):
        answers.append(completions)
        return share_of_e(prompts, completions, rows)

    def interrupting(prompts, completions, rows):
        calls.append(len(completions))
        if rank == 1 and len(calls) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return share_of_e(prompts, completions, rows)

    size = {"per_device_train_batch_size": SIZE // count}
    options = {
        "max_steps": STEPS,
        "learning_rate": 1e-3,
        "eval_strategy": "steps",
        "eval_steps": STEPS,
        "save_strategy": "steps",
        "save_steps": STEPS // 2,
        **size,
    }

    def train(name: str, lora: bool = False, place=None, **changes):
        job, events = job_of(model, folder / f"{name}-{count}", score, **changes)
        job = replace(job, data=DatasetSplits(job.data.train, {"held": job.data.train[:3]}))
        if lora:
            torch.manual_seed(0)
            job = replace(job, model=get_peft_model(job.model, LoraConfig(target_modules="all-linear")))
        assert run(job, {"beta": 0.01}, stage, place, **options)
        if rank == 0:
            metrics = [dict(event.metrics) for event in events if isinstance(event, StepEnded | Evaluated)]
            write(f"{name}-{count}", metrics)
        return job.model

    trained = train("drawn")
    (folder / f"rank-{count}-{rank}").mkdir()
    save_file(dict(trained.named_parameters()), folder / f"rank-{count}-{rank}" / "model.safetensors")
    write(f"answers-{count}-{rank}", answers)
    train("lora", lora=True)
    if count == 1:
        return
    spread = Fsdp(processes=2).place
    train("fsdp", place=spread)
    train("lora fsdp", lora=True, place=spread)
    if rank == 0:
        kept = f"checkpoint-{STEPS // 2}"
        shutil.copytree(folder / "drawn-1" / kept, folder / "resumed-2" / kept)
    torch.distributed.barrier()
    train("resumed", place=spread, resume=True)
    assert run(job_of(model, folder / "whole")[0], stage=stage, max_steps=4, **size)
    found = [
        run(job_of(model, folder / "cut", interrupting)[0], stage=stage, max_steps=4, **size),
        run(job_of(model, folder / "cut", resume=True)[0], stage=stage, max_steps=4, **size),
    ]
    if rank == 0:
        write("cut", ["finished" if finished else "interrupted" for finished in found])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
