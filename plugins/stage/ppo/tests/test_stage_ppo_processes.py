"""PPO on two processes: as one process, whose answers are the same, equal on both, and interrupted together."""

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

FIXED = {
    "total_steps": 4,
    "batch_size": 4,
    "mini_batch_size": 4,
    "whiten_rewards": True,
    "entropy_coef": 0.01,
    "kl_target": 0.5,
    "kl_horizon": 20.0,
    "eval_steps": 2,
}
SPREAD = ("fsdp", "in step", "resumed", "lora fsdp")  # on two processes
DRAWN = {
    "total_steps": 6,
    "save_steps": 3,
    "save_total_limit": None,
    "batch_size": 16,
    "init_kl_coef": 0.01,
    "eval_steps": 3,
    "normalize_scores": True,
    "learning_rate": 1e-3,
}
SHORT = {"total_steps": 4, "eval_steps": 0, "save_steps": 0}


def start(processes: int, model: Path, folder: Path) -> None:
    """Run this file as a program, with torchrun for several processes."""
    launcher = [sys.executable]
    if processes > 1:
        launcher += ["-m", "torch.distributed.run", f"--nproc-per-node={processes}", "--standalone"]
    command = [*launcher, str(Path(__file__).resolve()), str(model), str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def runs(tiny_llama, tmp_path_factory) -> Path:
    """What the program below writes, alone and on two processes."""
    folder = tmp_path_factory.mktemp("processes")
    for processes in (1, 2):
        start(processes, tiny_llama, folder)
    return folder


def weights_of(folder: Path) -> dict:
    from safetensors.torch import load_file

    return {
        f"{file.stem}.{name}": weight
        for file in sorted(folder.glob("*.safetensors"))
        for name, weight in load_file(file).items()
    }


@pytest.mark.parametrize("name", ["fixed", "drawn", "lora", *SPREAD])
def test_two_processes_learn_what_one_learns(runs, name):
    """Weights, value head, metrics, the adapted penalty and evaluations agree, also of a model that is spread."""
    alike = {"fsdp": "drawn", "in step": "drawn", "resumed": "drawn", "lora fsdp": "lora"}.get(name, name)
    one, two = weights_of(runs / f"{alike}-1"), weights_of(runs / f"{name}-2")
    assert one.keys() == two.keys() and "value_head.weight" in one
    # Adam, whose steps are 3e-3 per weight, magnifies how sums round; one wrong token moves weights by some 1e-3
    assert max(float((one[name] - two[name]).abs().max()) for name in one) < 1e-4
    alone, together = (json.loads((runs / f"{each}.json").read_text()) for each in (f"{alike}-1", f"{name}-2"))
    if name == "resumed":
        alone = alone[3 + 1 :]
    assert len(alone) == len(together) == {"fixed": 4 + 2, "resumed": 3 + 1}.get(name, 6 + 2)
    for first, second in zip(alone, together, strict=True):
        assert first == pytest.approx(second, rel=1e-4, abs=1e-5)
    assert alone[0]["loss"] == pytest.approx(together[0]["loss"], rel=1e-5, abs=1e-7)
    assert alone[-1]["eval_held_reward"] > 0


def test_checkpoints_of_a_spread_model_are_those_of_one_process(runs):
    """So that they go on under any number of processes."""
    one, two = (weights_of(runs / name / "checkpoint-3") for name in ("drawn-1", "fsdp-2"))
    assert one.keys() == two.keys() and any(name.startswith("optimizers") for name in one)
    assert max(float((one[name].double() - two[name].double()).abs().max()) for name in one) < 1e-4


def test_the_penalty_is_that_of_all_answers(runs):
    told = json.loads((runs / "fixed-2.json").read_text())
    assert told[0]["kl_coef"] != told[-2]["kl_coef"]


def test_answers_are_those_of_one_process(runs):
    """Each draws its share of them: of a step every second, and so of what is held out."""
    one, *two = (json.loads((runs / f"answers-{name}.json").read_text()) for name in ("1-0", "2-0", "2-1"))
    size, held = DRAWN["batch_size"], 3
    drawn = 3 * size
    for start, count in ((0, drawn), (drawn, held), (drawn + held, drawn), (2 * drawn + held, held)):
        joined = [None] * count
        for rank in (0, 1):
            share = len(range(rank, count, 2))
            joined[rank::2], two[rank] = two[rank][:share], two[rank][share:]
        assert joined == one[start : start + count]
    assert two == [[], []] and len(set(one)) > 20


def test_both_processes_hold_the_same_weights(runs):
    import torch

    first, second = (weights_of(runs / f"drawn-rank-{rank}") for rank in (0, 1))
    assert first and all(torch.equal(first[name], second[name]) for name in first)


def test_both_processes_stop_when_one_is_interrupted(runs):
    """A signal that reaches only the second: the resumed run ends with the bits of the uninterrupted one."""
    import torch

    assert json.loads((runs / "cut.json").read_text()) == ["interrupted", "finished"]
    whole, cut = weights_of(runs / "whole"), weights_of(runs / "cut")
    assert whole.keys() == cut.keys() and all(torch.equal(whole[name], cut[name]) for name in whole)


def main(model: Path, folder: Path) -> None:
    """The program."""
    import torch
    from peft import LoraConfig, get_peft_model
    from safetensors.torch import save_file
    from test_stage_ppo import job_of, run, share_of_e
    from transformers import AutoTokenizer
    from tunesmith.types import DatasetSplits, Evaluated, StepEnded
    from tunesmith_library_estimates.room import Room
    from tunesmith_library_training import whole
    from tunesmith_library_training.drawing import Drawing
    from tunesmith_parallel_fsdp import Fsdp

    rank, count = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    tokenizer = AutoTokenizer.from_pretrained(model)

    def train(name: str, options: dict, score=share_of_e, lora=False, place=None, **changes):
        job, events = job_of(model, tokenizer, folder / name, score, **changes)
        job = replace(job, data=DatasetSplits(job.data.train, {"held": job.data.train}))
        if lora:
            torch.manual_seed(0)
            job = replace(job, model=get_peft_model(job.model, LoraConfig(target_modules="all-linear")))
        finished = run(options, job, model, place)
        told = [dict(event.metrics) for event in events if isinstance(event, StepEnded | Evaluated)]
        return finished, told, job.model

    def fixed(self, examples, seeds):
        """Answers that depend on the prompt alone, of different lengths; some come to an end."""
        prompts = [example["prompt_input_ids"] for example in examples]
        letters, ends = tokenizer.encode("a e e", add_special_tokens=False), [tokenizer.eos_token_id]
        return [(letters * 3)[: 2 + len(prompt) % 4] + ends[: len(prompt) % 2] for prompt in prompts]

    def write(name: str, content: object) -> None:
        if rank == 0:
            (folder / name).write_text(json.dumps(content))

    drawing, Drawing.answers = Drawing.answers, fixed
    write(f"fixed-{count}.json", train(f"fixed-{count}", FIXED)[1])
    Drawing.answers = drawing

    answers = []

    def score(prompts, completions, rows):
        answers.extend(completions)
        return share_of_e(prompts, completions, rows)

    _, told, trained = train(f"drawn-{count}", DRAWN, score)
    write(f"drawn-{count}.json", told)
    (folder / f"answers-{count}-{rank}.json").write_text(json.dumps(answers))
    write(f"lora-{count}.json", train(f"lora-{count}", DRAWN, lora=True)[1])
    if count == 1:
        return
    spread = Fsdp(processes=2).place
    write("fsdp-2.json", train("fsdp-2", DRAWN, place=spread)[1])
    write("lora fsdp-2.json", train("lora fsdp-2", DRAWN, place=spread, lora=True)[1])
    if rank == 0:
        shutil.copytree(folder / "drawn-1" / "checkpoint-3", folder / "resumed-2" / "checkpoint-3")
    torch.distributed.barrier()
    write("resumed-2.json", train("resumed-2", DRAWN, place=spread, resume=True)[1])
    whole_room, whole._room_of = whole._room_of, lambda device: Room(1.0, 1.0)
    write("in step-2.json", train("in step-2", DRAWN, place=spread)[1])
    whole._room_of = whole_room
    (folder / f"drawn-rank-{rank}").mkdir()
    save_file(dict(trained.named_parameters()), folder / f"drawn-rank-{rank}" / "model.safetensors")

    def interrupting(prompts, completions, rows):
        answers.append("")
        if rank == 1 and answers.count("") == before + 2:
            os.kill(os.getpid(), signal.SIGINT)
        return share_of_e(prompts, completions, rows)

    assert train("whole", SHORT)[0]
    before = answers.count("")
    found = [train("cut", SHORT, interrupting)[0], train("cut", SHORT, resume=True)[0]]
    write("cut.json", ["finished" if finished else "interrupted" for finished in found])
    torch.distributed.barrier()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
