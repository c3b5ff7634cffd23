"""Answers of a model while it is trained: by its own weights or by a copy of them, and nothing of it stays changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tunesmith import TunesmithError
from tunesmith.traits import EngineTraits, ParallelTraits, QuantizerTraits
from tunesmith.types import DatasetSplits, EngineStats, ModelHandle, Request, Sampling
from tunesmith_library_engine import StreamedAnswer
from tunesmith_library_testing.engine import GreedyEngine
from tunesmith_library_testing.parts import CHATML, StubPlan, handle_of, load_plain, source_of
from tunesmith_library_training.drawing import Drawing, answer_ends, left_padded
from tunesmith_library_training.engines import engine_problems, process_problems
from tunesmith_library_training.seeds import generator_of, seeds_from

PROMPTS = [[5, 6, 7], [8], [9, 10, 11, 12, 13]]
EXAMPLES = [{"prompt_input_ids": prompt} for prompt in PROMPTS]
EIGHT = Sampling(max_new_tokens=8)
SEEDS = [1, 2, 3]


def job_of(model: Any, folder: Path, tokenizer: Any, open_engine: Any, **changes: Any) -> Any:
    """What `Drawing` reads of a job."""
    handle = replace(handle_of(folder, tokenizer), source=source_of(folder), merge=lambda it: it.merge_and_unload())
    parts = {"template": CHATML, "processor": tokenizer, "precision": "fp32", "data": DatasetSplits(train=[])}
    return SimpleNamespace(**{"model": model, "handle": handle, "open_engine": open_engine, **parts, **changes})


def greedy(model: Any, prompts: list[list[int]], ends: list[int]) -> list[list[int]]:
    """The likeliest answers by a model's own logits, one token after the other."""
    answers = []
    for prompt in prompts:
        answer: list[int] = []
        while len(answer) < 8 and answer[-1:] not in [[end] for end in ends]:
            with torch.no_grad():
                answer.append(int(model(torch.tensor([prompt + answer])).logits[0, -1].argmax()))
        answers.append(answer)
    return answers


def trained(folder: Path) -> Any:
    """A model with an adapter that says something else than its base, as training has it: with dropout and noise."""
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(load_plain(folder), LoraConfig(r=4, target_modules="all-linear", lora_dropout=0.5))
    shaken(model, 1)
    return model.train()


def shaken(model: Any, seed: int) -> None:
    """Change what is trained."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn(weight.shape, generator=generator) * 0.1)


def kept(model: Any) -> dict[str, Any]:
    """All of a model that drawing could change."""
    weights = {name: (weight.clone(), weight.requires_grad) for name, weight in model.named_parameters()}
    return {"weights": weights, "modes": {name: module.training for name, module in model.named_modules()}}


def assert_same(model: Any, before: dict[str, Any]) -> None:
    after = kept(model)
    assert after["modes"] == before["modes"]
    for name, (weight, requires_grad) in before["weights"].items():
        assert torch.equal(after["weights"][name][0], weight) and after["weights"][name][1] is requires_grad, name


class Meddling(GreedyEngine):
    """An engine over the trained model that freezes it, as engines do that only answer."""

    def __init__(self, handle: ModelHandle) -> None:
        super().__init__(handle)
        self.model.requires_grad_(False)


class Apart(GreedyEngine):
    """An engine with weights of its own, in a second model of transformers, under the names of the files."""

    def __init__(self, handle: ModelHandle) -> None:
        super().__init__(replace(handle, load=lambda: load_plain(handle.source.path)))
        self.asleep, self.done = False, list[str]()

    def submit(self, request: Request) -> StreamedAnswer:
        assert not self.asleep
        self.done.append("answer")
        return super().submit(request)

    def load_weights(self, weights: Iterable[tuple[str, Any]]) -> None:
        assert not self.asleep
        self.done.append("load")
        told = dict(weights)
        own = dict(self.model.named_parameters())
        assert told.keys() == own.keys() and all(tensor.device.type == "cpu" for tensor in told.values())
        with torch.no_grad():
            for name, tensor in told.items():
                own[name].copy_(tensor)

    def sleep(self) -> None:
        self.done.append("sleep")
        self.asleep = True

    def wake(self) -> None:
        self.done.append("wake")
        self.asleep = False

    def stats(self) -> EngineStats:
        return replace(super().stats(), asleep=self.asleep)


def test_left_padding() -> None:
    ids, mask = left_padded([[7, 8, 9], [5]], "cpu")
    assert ids.tolist() == [[7, 8, 9], [5, 5, 5]] and ids.dtype == torch.int64
    assert mask.tolist() == [[1, 1, 1], [0, 0, 1]] and mask.dtype == torch.int64


@pytest.mark.parametrize("kind", [Meddling, Apart])
def test_the_trained_model_answers_and_stays_as_it_is(tiny_llama: Path, tiny_bpe: Any, kind: Any) -> None:
    """With the weights of the moment: between two drawings they are trained further. The answers are those of the
    model without dropout, found here by its own logits."""
    model, opened = trained(tiny_llama), list[Any]()
    job = job_of(model, tiny_llama, tiny_bpe, lambda handle: opened.append(kind(handle)) or opened[-1])
    drawn, expected = [], []
    with Drawing(job, EIGHT) as drawing:
        for seed in (2, 3):
            before = kept(model)
            drawn.append(drawing.answers(EXAMPLES, SEEDS))
            assert_same(model, before)
            expected.append(greedy(model.eval(), PROMPTS, answer_ends(job)))
            shaken(model.train(), seed)
    assert drawn == expected and drawn[0] != drawn[1]
    assert expected[0] != greedy(load_plain(tiny_llama), PROMPTS, answer_ends(job)), "the adapter must count"
    assert len(opened) == 1, "one engine for the whole training"
    if kind is Apart:
        once = ["load", "answer", "answer", "answer", "sleep"]
        assert opened[0].done == [*once, "wake", *once]


def test_whole_weights_are_handed_over_too(tiny_llama: Path, tiny_bpe: Any) -> None:
    model = load_plain(tiny_llama)
    shaken(model, 1)
    job = job_of(model, tiny_llama, tiny_bpe, Apart)
    job.handle = replace(job.handle, merge=lambda it: it)
    with Drawing(job, EIGHT) as drawing:
        assert drawing.answers(EXAMPLES, SEEDS) == greedy(model, PROMPTS, answer_ends(job))


def test_weights_that_the_base_does_not_have_are_not_handed_over(tiny_llama: Path, tiny_bpe: Any) -> None:
    """As new tokens and new layers give a model; told before anything is answered."""
    model = load_plain(tiny_llama)
    model.resize_token_embeddings(len(model.get_input_embeddings().weight) + 3)
    job = job_of(model, tiny_llama, tiny_bpe, Apart)
    job.handle = replace(job.handle, merge=lambda it: it)
    with pytest.raises(TunesmithError, match=r"tensors .* not in .* in this shape"), Drawing(job, EIGHT) as drawing:
        drawing.answers(EXAMPLES, SEEDS)


def test_nothing_is_left_to_the_engine(tiny_llama: Path, tiny_bpe: Any) -> None:
    asked: list[Request] = []

    class Listening(GreedyEngine):
        def submit(self, request: Request) -> StreamedAnswer:
            asked.append(request)
            return super().submit(request)

    job = job_of(load_plain(tiny_llama), tiny_llama, tiny_bpe, Listening)
    sampling = Sampling(max_new_tokens=3, temperature=0.5, top_k=7)
    with Drawing(job, sampling) as drawing:
        assert drawing.answers([], []) == [], "another process may have something to ask"
        drawing.answers(EXAMPLES, SEEDS, max_new_tokens=2)
    assert [request.sampling.seed for request in asked] == SEEDS
    ends = tuple(answer_ends(job))
    alike = {replace(request.sampling, seed=None, logit_bias=()) for request in asked}  # type: ignore[arg-type]
    assert alike == {replace(sampling, max_new_tokens=2, stop_token_ids=ends, logit_bias=())}  # type: ignore[arg-type]


def test_seeds_are_of_the_step_and_the_place() -> None:
    """The same in every run and on every process; no two answers of a run have one."""
    steps = {(seed, step): seeds_from(generator_of(seed, step), 100) for seed in (0, 1) for step in (0, 1, 2)}
    assert seeds_from(generator_of(1, 2), 100) == steps[1, 2]
    assert len({seed for seeds in steps.values() for seed in seeds}) == 600


def test_an_engine_that_fails_leaves_the_model_as_it_was(tiny_llama: Path, tiny_bpe: Any) -> None:
    class Failing(Apart):
        def submit(self, request: Request) -> StreamedAnswer:
            if len(request.prompt) == 1:
                raise TunesmithError("no more")
            return super().submit(request)

    model, opened = trained(tiny_llama), list[Any]()
    job = job_of(model, tiny_llama, tiny_bpe, lambda handle: opened.append(Failing(handle)) or opened[-1])
    before = kept(model)
    with pytest.raises(TunesmithError, match="no more"), Drawing(job, EIGHT) as drawing:
        drawing.answers(EXAMPLES, SEEDS)
    assert_same(model, before)
    assert opened[0].asleep, "it gives its memory back"


def test_room_for_answers(tiny_llama: Path, tiny_bpe: Any, caplog: Any) -> None:
    """Prompts that fill the context end the run at its beginning; those that leave little are counted."""

    class Short(GreedyEngine):
        context_length = 12

    def drawing_of(*lengths: int) -> Drawing:
        data = DatasetSplits([{"prompt_input_ids": [5] * length} for length in lengths[1:]], {
            "held": [{"prompt_input_ids": [5] * lengths[0]}]
        })  # fmt: skip
        return Drawing(job_of(load_plain(tiny_llama), tiny_llama, tiny_bpe, Short, data=data), EIGHT)

    with pytest.raises(TunesmithError, match=r"2 of 3 .* 12 tokens: the longest has 30.\n  stage.max_prompt_length=4"):
        drawing_of(30, 12, 5).answers(EXAMPLES, SEEDS)
    assert drawing_of(4, 3, 1).answers(EXAMPLES, SEEDS) and not caplog.text
    assert drawing_of(5, 11, 4).answers(EXAMPLES, SEEDS)
    assert "2 of 3 prompts leave less than 8 tokens of the model's context of 12" in caplog.text


def test_without_an_engine(tiny_llama: Path, tiny_bpe: Any) -> None:
    for open_engine in (None, lambda handle: None):
        job = job_of(load_plain(tiny_llama), tiny_llama, tiny_bpe, open_engine)
        with pytest.raises(TunesmithError, match="the run has no engine"), Drawing(job, EIGHT) as drawing:
            drawing.answers(EXAMPLES, SEEDS)


def test_ends_of_a_job(tiny_llama: Path, tiny_bpe: Any) -> None:
    model = load_plain(tiny_llama)
    model.generation_config.eos_token_id = [7]
    job: Any = SimpleNamespace(template=CHATML, processor=tiny_bpe, model=model)
    assert answer_ends(job) == sorted([7, tiny_bpe.eos_token_id, tiny_bpe.convert_tokens_to_ids("<|im_end|>")])


@pytest.mark.parametrize(
    ("traits", "quantizer", "said"),
    [
        (EngineTraits(runs_modules=True), QuantizerTraits(), []),
        (EngineTraits(loads_weights=True), None, []),
        (EngineTraits(loads_weights=True), QuantizerTraits(merges=True), []),
        (EngineTraits(loads_weights=True), QuantizerTraits(), ["few bits of quantizer=small"]),
        (EngineTraits(), None, ["engine=mine has another"]),
        (EngineTraits(runs_modules=True, searches=True), None, ["engine=mine searches"]),
    ],
)
def test_engines_that_cannot_answer_for_training(traits: EngineTraits, quantizer: Any, said: list[str]) -> None:
    plugins: dict[str, Any] = {"engine": {"mine": SimpleNamespace(traits=traits)}}
    if quantizer is not None:
        plugins["quantizer"] = {"small": SimpleNamespace(traits=quantizer)}
    problems = engine_problems(StubPlan(plugins), "mine")
    assert [problem.key for problem in problems] == ["engine"] * len(said)
    assert all(part in problem.message for part, problem in zip(said, problems, strict=True))
    assert engine_problems(StubPlan(plugins, command="chat"), "mine") == []


@pytest.mark.parametrize(
    ("parallel", "said"),
    [
        (ParallelTraits(processes=2), []),
        (ParallelTraits(processes=2, spreads="fsdp"), []),
        (ParallelTraits(processes=2, spreads="deepspeed"), ["cut it in pieces"]),
        (ParallelTraits(processes=4, alike=2), ["2 share a batch"]),
    ],
)
def test_processes_that_cannot_draw(parallel: ParallelTraits, said: list[str]) -> None:
    plan = StubPlan({"parallel": {"mine": SimpleNamespace(traits=parallel)}})
    problems = process_problems(plan, "mine")
    assert all(part in problem.message for part, problem in zip(said, problems, strict=True))
    divided = StubPlan({"parallel": {"mine": SimpleNamespace(traits=parallel, experts=2)}})
    more = process_problems(divided, "mine")
    assert [problem.key for problem in more if problem not in problems] == ["parallel.experts"]
    assert process_problems(StubPlan({}), "mine") == []


def test_an_engine_with_weights_of_its_own_is_not_shown_images(
    tiny_llama: Path, tiny_bpe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is answered; one that runs the trained model is asked, and prompts of text alone are nobody's
    trouble."""
    monkeypatch.setattr("tunesmith_library_training.drawing.columns_of", lambda processor: ("images",))
    shown = {"images": [{"bytes": None, "path": "a.png"}], "videos": [], "audios": []}
    data = DatasetSplits(train=[{**EXAMPLES[0], **shown}, EXAMPLES[1]])
    model = load_plain(tiny_llama)
    job = job_of(model, tiny_llama, tiny_bpe, Apart, data=data)
    with (
        pytest.raises(TunesmithError, match=r"1 of 2 prompts show(.|\n)*engine=transformers"),
        Drawing(job, EIGHT) as it,
    ):
        assert it.context_length is None
    with Drawing(job_of(model, tiny_llama, tiny_bpe, GreedyEngine, data=data), EIGHT) as it:
        assert it.context_length is None
    with Drawing(job_of(model, tiny_llama, tiny_bpe, Apart, data=DatasetSplits(train=EXAMPLES)), EIGHT) as it:
        assert it.context_length is None
