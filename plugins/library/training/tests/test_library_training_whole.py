"""Answers of a model that is spread over two processes, of which one has more to say: those of the whole model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROMPTS = [[20, 21, 22], [30, 31], [40, 41], [50, 51, 52, 53]]
SHARES = [PROMPTS, []], [PROMPTS[:1], PROMPTS[1:]]  # of the two processes, in two drawings
LIMITS = [7, 2]  # tokens of an answer, on each of them


@pytest.mark.slow
def test_a_spread_model_answers_as_a_whole_one(tiny_llama: Path, tmp_path: Path) -> None:
    """Whole or in step; it learns afterwards as if it had not answered, and no weight was changed."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    command = [*launcher, str(Path(__file__).resolve()), str(tiny_llama), str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1)]
    for rank, found in enumerate(told):
        for name, answers in found["answers"].items():
            assert answers == found["expected"], f"{name}, process {rank}"
        assert set(found["answers"]) == {
            f"{model}, {pace}" for model in ("all", "lora") for pace in ("whole", "in step")
        }
        assert found["differences"] and max(found["differences"].values()) < 1e-6
        assert all(found["spread"]), "each has its part again"
        assert found["handed over"] == {"all": 0.0, "lora": 0.0}, "an engine with weights of its own is given these"
        for name, (one, other) in found["measured"].items():
            assert one == pytest.approx(other, rel=1e-6), f"evaluators, {name}"


def main(model: Path, folder: Path) -> None:
    """The program."""
    import peft
    import torch
    from tunesmith.types import DatasetSplits, Sampling
    from tunesmith_engine_transformers import Transformers
    from tunesmith_library_testing.jobs import make_job
    from tunesmith_library_testing.parts import handle_of, load_plain
    from tunesmith_library_training import processes, sharding
    from tunesmith_library_training.drawing import Drawing
    from tunesmith_library_training.whole import is_spread
    from tunesmith_parallel_fsdp import Fsdp

    processes.join(use_cpu=True)
    rank = processes.rank()
    examples = [{"prompt_input_ids": prompt} for prompt in PROMPTS]
    job, _ = make_job(model, folder, data=DatasetSplits(train=examples))
    expected = greedy(load_plain(model), rank)
    found: dict[str, Any] = {"answers": {}, "expected": expected, "differences": {}, "spread": []}
    found |= {"handed over": {}, "measured": {}}

    def network(kind: str) -> Any:
        torch.manual_seed(0)
        plain = load_plain(model)
        if kind == "all":
            return plain
        made = peft.get_peft_model(plain, peft.LoraConfig(target_modules="all-linear"))
        for name, weight in made.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=1e-4)
        return made

    for kind in ("all", "lora"):
        for pace in ("whole", "in step"):
            placed = Fsdp(processes=2).place(model=network(kind), job=job)
            room = None if pace == "whole" else 1.0
            found["answers"][f"{kind}, {pace}"] = drawn(
                Drawing, job, placed, rank, room, Sampling, Transformers, handle_of
            )
            found["spread"].append(
                is_spread(placed) and all(w.to_local().numel() < w.numel() for w in placed.parameters())
            )
            found["measured"][f"{kind}, {pace}"] = (mean_loss(job, placed), float(loss_of(network(kind))))
            of_all = gradients(network(kind), rank, alone=True)
            for name, gradient in gradients(placed, rank, alone=False).items():
                found["differences"][f"{kind} {name}"] = float((sharding.whole(gradient) - of_all[name]).abs().max())
        found["handed over"][kind] = handed_over(job, placed, network(kind), handle_of)
    (folder / f"{rank}.json").write_text(json.dumps(found))


def drawn(
    drawing: Any, job: Any, model: Any, rank: int, room: float | None, sampling: Any, engine: Any, handle_of: Any
) -> Any:
    """The answers of a model in two drawings."""
    import dataclasses

    from tunesmith_library_estimates.room import Room
    from tunesmith_library_testing.parts import CHATML, source_of
    from tunesmith_library_training import whole

    if room is not None:
        whole._room_of = lambda device: Room(room, 1.0)
    folder = Path(job.processor.name_or_path)
    handle = dataclasses.replace(handle_of(folder, job.processor), source=source_of(folder))
    answering = dataclasses.replace(job, model=model, handle=handle, template=CHATML, open_engine=engine().open_engine)
    with drawing(answering, sampling(max_new_tokens=LIMITS[rank], temperature=0.0)) as it:
        return [it.answers([{"prompt_input_ids": p} for p in share[rank]], [1] * len(share[rank])) for share in SHARES]


def loss_of(model: Any) -> Any:
    import torch

    ids = torch.tensor([[*PROMPTS[0], *PROMPTS[3]]])
    with torch.no_grad():
        return model(input_ids=ids, labels=ids).loss


def mean_loss(job: Any, model: Any) -> float:
    """What an evaluator finds out, which computes on the first process alone."""
    import dataclasses

    from tunesmith_library_evaluating import Evaluation, Measured
    from tunesmith_library_training.evaluations import measured

    def evaluate(trained: Any) -> list[Any]:
        return [Evaluation({"held": {"loss": Measured(float(loss_of(trained)))}}, name="own")]

    return measured(dataclasses.replace(job, evaluate=evaluate), model)[0]["eval_held_own_loss"]


def handed_over(job: Any, placed: Any, plain: Any, handle_of: Any) -> float:
    """The largest difference of the weights that an engine gets of a spread model to those of a plain one."""
    import dataclasses

    from tunesmith_library_testing.parts import source_of
    from tunesmith_library_training.trained_weights import trained_weights

    def merged(model: Any) -> Any:
        return model.merge_and_unload() if hasattr(model, "merge_and_unload") else model

    folder = Path(job.processor.name_or_path)
    handle = dataclasses.replace(handle_of(folder, job.processor), source=source_of(folder), merge=merged)
    given = dict(trained_weights(dataclasses.replace(job, model=placed, handle=handle)))
    expected = merged(plain).state_dict()
    assert len(given) >= len(expected) - 1, "tied weights are one"
    return max(float((tensor - expected[name]).abs().max()) for name, tensor in given.items())


def greedy(model: Any, rank: int) -> Any:
    """The answers of a model that is not spread, by its own logits."""
    import torch

    def answer(ids: list[int]) -> list[int]:
        made: list[int] = []
        for _ in range(LIMITS[rank]):
            with torch.no_grad():
                made.append(int(model(torch.tensor([ids + made])).logits[0, -1].argmax()))
        return made

    return [[answer(prompt) for prompt in share[rank]] for share in SHARES]


def gradients(model: Any, rank: int, alone: bool) -> Any:
    """Of the mean over all prompts: of a spread model from the half of them that this process has."""
    own = PROMPTS if alone else PROMPTS[rank::2]
    import torch

    model.train()
    losses = [model(input_ids=torch.tensor([p, p]), labels=torch.tensor([p, p])).loss for p in own]
    torch.stack(losses).mean().backward()
    return {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
