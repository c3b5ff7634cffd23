"""The transformers engine: endings, settings, answers that equal transformers' own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tunesmith import TunesmithError
from tunesmith.types import Conversation, Piece, Request, Sampling
from tunesmith.validate import structured
from tunesmith_engine_transformers import Transformers
from tunesmith_engine_transformers.choosing import Chooser
from tunesmith_engine_transformers.settings import Drawing, choice_of, generation_config
from tunesmith_library_engine.chatting import Chat
from tunesmith_library_testing import EngineSuite
from tunesmith_library_testing.parts import CHATML, handle_of, load_plain, source_of
from tunesmith_library_testing.tiny import save_tiny_model

QUESTIONS = ("Who are you?", "鲸鱼在唱歌吗？", "Count: 1, 2, 3, " * 5)
CONVERSATIONS = [Conversation([{"role": "user", "content": question}]) for question in QUESTIONS]


class TestTransformers(EngineSuite):
    plugin = Transformers


def prompt_ids(tokenizer: Any, question: str) -> list[int]:
    return list(CHATML.request(tokenizer, Conversation([{"role": "user", "content": question}]), Sampling()).prompt)


@pytest.fixture
def scripted(tiny_llama: Path, tiny_bpe: Any, monkeypatch: Any) -> Callable[..., Any]:
    """A tiny model that says the texts, one per question: real generation, known words."""
    script: dict[tuple[int, ...], list[int]] = {}
    choose = Chooser.choose

    def scripted_choose(self: Chooser, input_ids: Any, scores: Any) -> Any:
        for row, of_row in zip(self._rows, scores, strict=True):
            said = script[tuple(row.request.prompt)]
            of_row[said[min(len(row.made), len(said) - 1)]] += 1000.0
        return choose(self, input_ids, scores)

    def made(*texts: str) -> Any:
        for question, text in zip(QUESTIONS, texts, strict=False):
            script[tuple(prompt_ids(tiny_bpe, question))] = tiny_bpe.encode(text, add_special_tokens=False)
        return handle_of(tiny_llama, tiny_bpe)

    monkeypatch.setattr(Chooser, "choose", scripted_choose)
    return made


@contextlib.contextmanager
def opened(handle: Any, **options: Any) -> Iterator[Any]:
    engine = Transformers(**options).open_engine(handle)
    try:
        yield engine
    finally:
        engine.close()


def say(
    handle: Any, sampling: Sampling | None = None, count: int = 1, *, stop: Any = (), **options: Any
) -> list[Piece]:
    with Chat(handle, Transformers(**options).open_engine) as chat:
        return list(chat.answer(CONVERSATIONS[:count], sampling, stop=stop))


def joined(pieces: list[Piece], index: int = 0) -> str:
    return "".join(piece.text for piece in pieces if piece.index == index)


def test_a_classifier_is_refused(tiny_llama: Path, tiny_bpe: Any, tmp_path: Path) -> None:
    """Loaded as a language model, a reward model would have an output layer of random numbers."""
    from transformers import AutoModelForSequenceClassification

    AutoModelForSequenceClassification.from_pretrained(tiny_llama, num_labels=1).save_pretrained(tmp_path)
    handle = handle_of(tmp_path, tiny_bpe, load=lambda: load_plain(tmp_path))
    with pytest.raises(TunesmithError, match=r"LlamaForSequenceClassification(.|\n)*reward.model.path"):
        Transformers().open_engine(handle)


# ---- endings --------------------------------------------------------------------------------------------------------


def test_the_template_ends_the_answer(tiny_bpe: Any, scripted: Callable[..., Any]) -> None:
    pieces = say(scripted("你好 🐋!<|im_end|>\nmore"))
    assert joined(pieces) == "你好 🐋!"
    assert pieces[-1].finish_reason == "stop" and not any(piece.finish_reason for piece in pieces[:-1])
    assert not any("\ufffd" in piece.text for piece in pieces) and len(pieces) > 3
    assert sum(piece.num_tokens for piece in pieces) == len(tiny_bpe.encode("你好 🐋!<|im_end|>"))


def test_the_end_of_text_ends_the_answer(scripted: Callable[..., Any]) -> None:
    assert joined(say(scripted("yes</s>no"))) == "yes"


def test_a_stop_string_of_several_tokens_ends_the_answer(scripted: Callable[..., Any]) -> None:
    handle = scripted("one STOPped two STOP three")
    pieces = say(handle, Sampling(max_new_tokens=60), stop=("STOP ",))
    assert joined(pieces) == "one STOPped two " and pieces[-1].finish_reason == "stop"


def test_length_ends_the_answer_with_everything_held_back(tiny_bpe: Any, scripted: Callable[..., Any]) -> None:
    text = "one STO"
    handle = scripted(text)
    length = len(tiny_bpe.encode(text))
    pieces = say(handle, stop=("STOP",), max_new_tokens=length)
    assert joined(pieces) == text and pieces[-1].finish_reason == "length"
    assert sum(piece.num_tokens for piece in pieces) == length


def test_answers_of_a_batch_end_one_by_one(scripted: Callable[..., Any]) -> None:
    texts = ("a<|im_end|>", "鲸鱼 sing for a long while<|im_end|>", "b</s>")
    pieces = say(scripted(*texts), count=3)
    assert [joined(pieces, index) for index in range(3)] == ["a", "鲸鱼 sing for a long while", "b"]
    assert [piece.index for piece in pieces if piece.finish_reason] == [0, 2, 1]


def test_the_models_own_end_tokens_end_the_answer(tiny_llama: Path, tiny_bpe: Any) -> None:
    model = load_plain(tiny_llama)
    model.generation_config.eos_token_id = [9, 11]
    with opened(handle_of(tiny_llama, tiny_bpe, load=lambda: model)) as engine:
        assert engine.end_token_ids == {9, 11, tiny_bpe.eos_token_id}


# ---- settings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
@pytest.mark.parametrize("batch_size", [16, 2])
def test_greedy_batches_equal_transformers_one_by_one(
    tmp_path: Path, tiny_bpe: Any, architecture: str, batch_size: int
) -> None:
    folder = save_tiny_model(tmp_path / architecture, architecture=architecture, seed=3)
    sampling = Sampling(repetition_penalty=1.3)
    with opened(handle_of(folder, tiny_bpe), max_new_tokens=24, batch_size=batch_size) as engine:
        answers = [
            engine.submit(CHATML.request(tiny_bpe, conversation, sampling)).result() for conversation in CONVERSATIONS
        ]
        begun = [engine.submit(CHATML.request(tiny_bpe, conversation, sampling)) for conversation in CONVERSATIONS]
        assert [answer.result() for answer in begun] == answers
    model = load_plain(folder)
    for question, answer in zip(QUESTIONS, answers, strict=True):
        ids = torch.tensor([prompt_ids(tiny_bpe, question)])
        expected = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=24,
            do_sample=False,
            repetition_penalty=1.3,
            eos_token_id=[tiny_bpe.eos_token_id, tiny_bpe.convert_tokens_to_ids("<|im_end|>")],
        )[0, ids.shape[1] :]
        assert list(answer.token_ids) == expected.tolist()


def own(**values: Any) -> Any:
    """A model's generation_config."""
    names = ("do_sample", "temperature", "top_p", "top_k", "min_p", "repetition_penalty")
    return SimpleNamespace(**{**dict.fromkeys(names), **values})


PUBLISHED = own(do_sample=True, temperature=0.6, top_p=0.8, top_k=20, repetition_penalty=1.05)


@pytest.mark.parametrize(
    ("model", "options", "asked", "drawing"),
    [
        (own(), {}, {}, None),
        (own(), {}, {"temperature": 0.7}, Drawing(0.7, 0, 1.0, 0.0)),
        (own(), {}, {"top_p": 0.9}, Drawing(1.0, 0, 0.9, 0.0)),
        (own(), {"min_p": 0.1}, {}, Drawing(1.0, 0, 1.0, 0.1)),
        (own(), {"temperature": 0.7, "top_k": 9}, {"temperature": 0.0}, None),
        (own(), {"temperature": 0.7, "top_k": 9}, {"top_k": 0}, Drawing(0.7, 0, 1.0, 0.0)),
        (PUBLISHED, {}, {}, Drawing(0.6, 20, 0.8, 0.0)),
        (PUBLISHED, {}, {"temperature": 0.0}, None),
        (PUBLISHED, {"temperature": 0.0}, {"top_k": 5}, None),
        (PUBLISHED, {}, {"top_k": 5}, Drawing(0.6, 5, 0.8, 0.0)),
    ],
)
def test_what_is_asked_wins_over_the_options_and_they_over_the_models_own(
    model: Any, options: dict[str, Any], asked: dict[str, Any], drawing: Drawing | None
) -> None:
    assert choice_of(Sampling(**asked), Sampling(**options), model).drawing == drawing


def test_the_models_own_repetition_penalty() -> None:
    assert choice_of(Sampling(), Sampling(), PUBLISHED).repetition_penalty == 1.05
    assert choice_of(Sampling(), Sampling(repetition_penalty=1.2), PUBLISHED).repetition_penalty == 1.2
    assert choice_of(Sampling(), Sampling(), own()).repetition_penalty == 1.0


def test_transformers_itself_samples_nothing(tiny_llama: Path) -> None:
    model = load_plain(tiny_llama)
    model.generation_config.update(do_sample=True, temperature=0.6, top_p=0.8, top_k=20, suppress_tokens=[5])
    config = generation_config(model.generation_config, 9, {4, 1})
    assert (config.do_sample, config.temperature, config.top_p, config.repetition_penalty) == (False, 1.0, 1.0, 1.0)
    assert config.eos_token_id == [1, 4] and config.max_new_tokens == 9 and config.suppress_tokens == [5]
    assert model.generation_config.temperature == 0.6, "the model's own stays as it is"


def test_requests_win_over_options(tiny_llama: Path, tiny_bpe: Any) -> None:
    handle = handle_of(tiny_llama, tiny_bpe)
    pieces = say(handle, Sampling(max_new_tokens=3, temperature=0), max_new_tokens=30, temperature=2.0)
    assert sum(piece.num_tokens for piece in pieces) <= 3
    assert joined(pieces) == joined(say(handle, Sampling(max_new_tokens=3, temperature=0)))


def test_random_numbers_outside_are_left_alone(tiny_llama: Path, tiny_bpe: Any) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    say(handle_of(tiny_llama, tiny_bpe), Sampling(temperature=1, max_new_tokens=4))
    assert torch.equal(torch.rand(3), expected)


def test_without_seed_a_run_of_the_same_requests_repeats(tiny_llama: Path, tiny_bpe: Any) -> None:
    """The source's seed is that of everything random."""
    sampling = Sampling(temperature=1.0, max_new_tokens=12)

    def told(seed: int) -> list[Any]:
        handle = handle_of(tiny_llama, tiny_bpe)
        with opened(replace(handle, source=replace(handle.source, seed=seed))) as engine:
            return [engine.submit(Request([5, 6, 7], sampling)).result().token_ids for _ in range(3)]

    first = told(0)
    assert first == told(0) != told(1)
    assert len(set(first)) == 3, "one and the same request gets different answers"


@pytest.mark.parametrize(
    ("name", "value"),
    [("top_p", 1.5), ("temperature", -1.0), ("max_new_tokens", 0), ("repetition_penalty", 0.0), ("batch_size", 0)],
)
def test_values_out_of_range_are_refused(name: str, value: float) -> None:
    _, (problem,) = structured(Transformers, {name: value}, ("engine",), "engine=transformers")
    assert problem.key == ("engine", name)


# ---- prompts and models ---------------------------------------------------------------------------------------------


def test_the_context_ends_the_answer(tmp_path: Path, tiny_bpe: Any) -> None:
    length = len(prompt_ids(tiny_bpe, QUESTIONS[0]))
    folder = save_tiny_model(tmp_path / "short", max_position_embeddings=length + 5)
    pieces = say(handle_of(folder, tiny_bpe), Sampling(temperature=0))
    assert sum(piece.num_tokens for piece in pieces) == 5 and pieces[-1].finish_reason == "length"
    long = Conversation([{"role": "user", "content": "word " * length}])
    with (
        Chat(handle_of(folder, tiny_bpe), Transformers().open_engine) as chat,
        pytest.raises(TunesmithError, match=f"context ends at {length + 5}"),
    ):
        list(chat.answer([long]))


def test_learned_positions_end_with_the_context(tmp_path: Path, tiny_bpe: Any) -> None:
    """A long prompt in one batch with a long answer: no row computes beyond the table of positions."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    shape = GPT2Config(vocab_size=len(tiny_bpe), n_positions=40, n_embd=32, n_layer=1, n_head=2, eos_token_id=None)
    model = GPT2LMHeadModel(shape).eval()
    model.generation_config.eos_token_id = None
    with opened(handle_of(tmp_path, tiny_bpe, load=lambda: model), temperature=0) as engine:
        requests = [Request([5] * 38), Request([6] * 3), Request([7] * 20)]
        alone = [engine.submit(request).result() for request in requests]
        begun = [engine.submit(request) for request in requests]
        assert [answer.result() for answer in begun] == alone
    assert [len(answer.token_ids) for answer in alone if answer.finish_reason == "length"][:1] == [2]


def test_batches_equal_single_answers_with_the_transformers_loader(tiny_llama: Path, tiny_bpe: Any) -> None:
    """Left padding through the attention function that the loader installs."""
    loader = pytest.importorskip("tunesmith_model_transformers").Transformers(path=str(tiny_llama))
    source = source_of(tiny_llama, training=False)
    handle = handle_of(tiny_llama, tiny_bpe, load=lambda: loader.load_model(source, tiny_bpe, None))
    pieces = say(handle, Sampling(temperature=0, max_new_tokens=20), 3)
    plain = say(handle_of(tiny_llama, tiny_bpe), Sampling(temperature=0, max_new_tokens=20), 3)
    assert [joined(pieces, index) for index in range(3)] == [joined(plain, index) for index in range(3)]
