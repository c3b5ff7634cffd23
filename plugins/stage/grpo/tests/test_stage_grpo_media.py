"""Prompts that show images: what is learned from is what plain transformers computes with the model's own processor."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tunesmith.types import DatasetSplits, Evaluated, Sampling, StepEnded, TrainingJob
from tunesmith_engine_transformers import Transformers as Engine
from tunesmith_library_chat import ChatTemplate
from tunesmith_library_chat.tokenizers import own_template
from tunesmith_library_loading.processors import load_processor
from tunesmith_library_testing.parts import StubPlan, handle_of, source_of
from tunesmith_library_testing.seeing import save_seeing_model
from tunesmith_library_training.drawing import Drawing, answer_ends, tokens_of_items
from tunesmith_stage_grpo import Grpo, Rloo
from tunesmith_stage_grpo.loops import GrpoLoop, RlooLoop
from tunesmith_trainer_transformers import Transformers

FAMILIES = ("qwen2_vl", "llava", "gemma3")
TRAINER = {
    "per_device_train_batch_size": 12,
    "logging_steps": 1,
    "save_strategy": "no",
    "lr_scheduler_type": "constant",
    "use_cpu": True,
}
Folders = Callable[[str], Path]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    made: dict[str, Path] = {}

    def folder(family: str) -> Path:
        if family not in made:
            made[family] = save_seeing_model(tmp_path_factory.mktemp(family), family)
        return made[family]

    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Of different sizes."""
    folder, places = tmp_path_factory.mktemp("pictures"), []
    for number, size in enumerate([(40, 60), (56, 56), (90, 30)]):
        pixels = numpy.random.default_rng(number).integers(0, 255, (*size, 3), dtype=numpy.uint8)
        places.append(str(folder / f"{number}.png"))
        Image.fromarray(pixels).save(places[-1])
    return places


def rows_of(pictures: list[str]) -> list[dict[str, Any]]:
    """With one image, without, with two in several turns, and the first question about another image."""
    first, second, third = pictures
    turns = [
        {"role": "user", "content": "<image>?"},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": [{"type": "text", "text": "And "}, {"type": "image"}]},
    ]
    return [
        {"prompt": "<image>Which?", "images": [first], "answer": "One."},
        {"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Good day."}]},
        {"prompt": turns, "images": [second, third]},
        {"prompt": "<image>Which?", "images": [second], "answer": "Two."},
    ]


def told(messages: list[dict[str, Any]], images: list[str]) -> list[dict[str, Any]]:
    """Messages whose marks are typed parts, as transformers' processors take them."""
    made = []
    for message in messages:
        content = message["content"]
        if isinstance(content, str) and "<image>" in content:
            content = [{"type": "image"}, {"type": "text", "text": content.removeprefix("<image>")}]
        made.append({"role": message["role"], "content": content})
    return made


def prompt_inputs(processor: Any, row: dict[str, Any]) -> Any:
    """A row's prompt by the model's own processor and template."""
    messages = row.get("prompt") or row["messages"][:-1]
    messages = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
    text = processor.apply_chat_template(told(messages, row.get("images", [])), add_generation_prompt=True)
    images = [Image.open(place) for place in row.get("images", [])]
    return processor(text=[text], images=images or None, return_tensors="pt", add_special_tokens=False)


def share_of_e(prompts: Any, completions: list[str], rows: Any) -> list[list[float]]:
    return [[text.count("e") / max(len(text), 1) for text in completions]]


def job_of(folder: Path, output_dir: Path, rows: Any, **changes: Any) -> tuple[TrainingJob, list[Any]]:
    from transformers import AutoModelForImageTextToText

    processor = load_processor(folder, trust_remote_code=False)
    template = ChatTemplate("auto", own_template(processor) or "", ()).bind(processor)
    columns = Grpo().encode(rows=rows, processor=processor, template=template)
    data = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    events: list[Any] = []
    job = TrainingJob(
        model=AutoModelForImageTextToText.from_pretrained(folder),
        processor=processor,
        data=DatasetSplits(train=data),
        output_dir=output_dir,
        seed=1,
        precision="fp32",
        resume=False,
        collate=None,  # type: ignore[arg-type]
        compute_loss=None,  # type: ignore[arg-type]
        build_optimizer=lambda model, settings: None,
        emit=events.append,
        template=template,
        score=share_of_e,
        handle=replace(handle_of(folder, processor), source=source_of(folder)),
        open_engine=Engine().open_engine,
    )
    return replace(job, **changes), events


def run(job: TrainingJob, stage: Any = Grpo, options: dict[str, Any] | None = None, **trainer: Any) -> bool:
    made = stage(**{"max_completion_length": 5, "num_generations": 3, **(options or {})})
    plan = StubPlan({"trainer": {"mine": Transformers(**{**TRAINER, **trainer})}, "reward": {"numeric": None}})
    made.configured(plan=plan)
    finished: bool = made.fit(job=job)
    return finished


def log_probs_alone(model: Any, inputs: Any, answer: torch.Tensor) -> torch.Tensor:
    """Of an answer's tokens, by plain transformers, the prompt alone in its batch."""
    given = dict(inputs)
    count = len(answer)
    given["input_ids"] = torch.cat([given["input_ids"], answer[None]], 1)
    given["attention_mask"] = torch.ones_like(given["input_ids"])
    for name in ("token_type_ids", "mm_token_type_ids"):
        if name in given:
            given[name] = torch.cat([given[name], torch.zeros(1, count).long()], 1)
    with torch.no_grad():
        logits = model(**given).logits[0, -count - 1 : -1]
    said: torch.Tensor = logits.log_softmax(-1).gather(1, answer[:, None])[:, 0]
    return said


@pytest.mark.parametrize(
    ("stage", "loop", "family"),
    [(Grpo, GrpoLoop, family) for family in FAMILIES] + [(Rloo, RlooLoop, "qwen2_vl")],
)
def test_log_probabilities_are_the_models_own(
    folders: Folders, pictures: list[str], tmp_path: Path, monkeypatch: Any, stage: Any, loop: Any, family: str
) -> None:
    """Of answers to prompts with and without images, in batches smaller than a step, and of the reference."""
    from transformers import AutoModelForImageTextToText

    computed: list[tuple[list[int], torch.Tensor, torch.Tensor, int, torch.Tensor]] = []
    own = loop._get_per_token_logps_and_entropies

    def watched(self: Any, model: Any, ids: Any, mask: Any, keep: int, *arguments: Any, **options: Any) -> Any:
        found = own(self, model, ids, mask, keep, *arguments, **options)
        computed.append((list(self.numbers), ids.clone(), mask.clone(), keep, found[0].detach().clone()))
        return found

    monkeypatch.setattr(loop, "_get_per_token_logps_and_entropies", watched)
    rows = rows_of(pictures)
    job, _ = job_of(folders(family), tmp_path, rows)
    size: dict[str, Any] = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 3}
    assert run(job, stage, {"beta": 0.1}, max_steps=1, learning_rate=0.0, **size)

    model = AutoModelForImageTextToText.from_pretrained(folders(family)).eval()
    inputs = [prompt_inputs(job.processor, row) for row in rows]
    assert [len(numbers) for numbers, *_ in computed] in ([12, 4, 4, 4], [12, 12, 4, 4, 4])
    seen = set()
    for numbers, ids, mask, keep, found in computed:
        for row, number in enumerate(numbers):
            prompt = ids[row, :-keep][mask[row, :-keep].bool()]
            assert prompt.tolist() == inputs[number]["input_ids"][0].tolist()
            kept = mask[row, -keep:].bool()
            expected = log_probs_alone(model, inputs[number], ids[row, -keep:][kept])
            torch.testing.assert_close(found[row][kept], expected, rtol=1e-5, atol=1e-5)
            seen.add(number)
    assert seen == {0, 1, 2, 3}


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_are_those_of_plain_transformers(
    folders: Folders, pictures: list[str], tmp_path: Path, family: str
) -> None:
    rows = rows_of(pictures)
    job, _ = job_of(folders(family), tmp_path, rows)
    with Drawing(job, Sampling(max_new_tokens=6, temperature=0.0)) as drawing:
        found = drawing.answers(job.data.train, range(len(job.data.train)))
    assert found == generated(folders(family), job, rows)


def generated(folder: Path, job: TrainingJob, rows: list[dict[str, Any]]) -> list[list[int]]:
    """Greedy answers by transformers' own generation."""
    from transformers import AutoModelForImageTextToText

    model = AutoModelForImageTextToText.from_pretrained(folder).eval()
    ends, never = answer_ends(job), tokens_of_items(model)
    answers = []
    for row in rows:
        inputs = prompt_inputs(job.processor, row)
        options = {"max_new_tokens": 6, "do_sample": False, "eos_token_id": ends, "suppress_tokens": never}
        made = model.generate(**inputs, **options)[0, inputs["input_ids"].shape[1] :].tolist()
        first = next((index for index, token in enumerate(made) if token in ends), len(made))
        answers.append(made[: first + 1])
    return answers


def test_what_rewards_are_given_of_images(folders: Folders, pictures: list[str], tmp_path: Path) -> None:
    seen = {}

    def score(prompts: Any, completions: Any, rows: Any) -> list[list[float]]:
        for prompt, row in zip(prompts, rows, strict=True):
            seen[row.get("answer")] = (prompt, row)
        return [[float(len(text)) for text in completions]]

    job, _ = job_of(folders("llava"), tmp_path, rows_of(pictures), score=score)
    assert run(job, max_steps=1, learning_rate=0.0)
    shown = [{"type": "image"}, {"type": "text", "text": "Which?"}]
    assert seen["Two."] == ([{"role": "user", "content": shown}], {"answer": "Two.", "images": [pictures[1]]})
    assert seen["Good day."] == ([{"role": "user", "content": "Hello"}], {"answer": "Good day."})
    assert seen[None][1] == {"images": pictures[1:]} and len(seen) == 4


@pytest.mark.slow
@pytest.mark.parametrize("family", ["qwen2_vl", "gemma3"])
def test_a_model_that_sees_learns_what_is_rewarded(
    folders: Folders, pictures: list[str], tmp_path: Path, family: str
) -> None:
    """With evaluations between, after which the model answers as one that is loaded from what was saved."""
    rows = rows_of(pictures)
    job, events = job_of(folders(family), tmp_path / "run", rows)
    job = replace(job, data=DatasetSplits(job.data.train, {"held": job.data.train[:3]}))
    options: dict[str, Any] = {"eval_strategy": "steps", "eval_steps": 10, "learning_rate": 1e-2}
    assert run(job, max_steps=20, **options)
    rewards = [event.metrics["reward"] for event in events if isinstance(event, StepEnded)]
    assert sum(rewards[-4:]) > 3 * sum(rewards[:4]), rewards
    evaluations = [event.metrics["eval_reward"] for event in events if isinstance(event, Evaluated)]
    assert len(evaluations) == 2 and evaluations[-1] > rewards[0]
    with Drawing(job, Sampling(max_new_tokens=6, temperature=0.0)) as drawing:
        answers = drawing.answers(job.data.train, range(len(job.data.train)))
    assert answers == generated(tmp_path / "run", job, rows)
    assert (tmp_path / "run" / "preprocessor_config.json").is_file()


@pytest.mark.slow
def test_a_run_with_images_is_resumed(folders: Folders, pictures: list[str], tmp_path: Path) -> None:
    """Also where each step is an epoch."""
    rows = rows_of(pictures)
    options: dict[str, Any] = {"max_steps": 4, "save_strategy": "steps", "save_steps": 2, "learning_rate": 1e-3}
    job, whole = job_of(folders("qwen2_vl"), tmp_path / "whole", rows)
    assert run(job, **options)
    shutil.copytree(tmp_path / "whole" / "checkpoint-2", tmp_path / "parts" / "checkpoint-2")
    job, rest = job_of(folders("qwen2_vl"), tmp_path / "parts", rows, resume=True)
    assert run(job, **options)
    rewards = [
        {event.step: event.metrics["reward"] for event in events if isinstance(event, StepEnded)}
        for events in (whole, rest)
    ]
    assert rewards[1] == {step: rewards[0][step] for step in (3, 4)}
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    assert (tmp_path / "whole" / "checkpoint-2" / "processor_config.json").is_file()
