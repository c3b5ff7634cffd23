"""Batches: who is computed together, who joins and leaves, what ends them."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GenerationConfig
from tunesmith import TunesmithError
from tunesmith.types import Conversation, Request, Sampling
from tunesmith_engine_transformers import Transformers
from tunesmith_engine_transformers.generating import _Batch
from tunesmith_engine_transformers.rows import Row
from tunesmith_engine_transformers.settings import choice_of
from tunesmith_engine_transformers.weights import move
from tunesmith_library_engine.chatting import Chat
from tunesmith_library_testing.parts import CHATML, handle_of, load_plain

LONG = Sampling(max_new_tokens=1500, temperature=0.0)


@contextlib.contextmanager
def opened(handle: Any, **options: Any) -> Iterator[Any]:
    engine = Transformers(**options).open_engine(handle)
    try:
        yield engine
    finally:
        engine.close()


def endless(folder: Path, tokenizer: Any) -> tuple[Any, Any, list[int]]:
    """A handle of a model that says nothing that ends an answer, the model, and the rows of each of its steps."""
    model, rows = load_plain(folder), []
    model.generation_config.eos_token_id = None

    def count(module: Any, arguments: Any, inputs: Any, output: Any) -> None:
        rows.append(len(inputs["input_ids"]))
        output.logits[..., tokenizer.eos_token_id] = -torch.inf

    model.register_forward_hook(count, with_kwargs=True)
    return handle_of(folder, tokenizer, load=lambda: model), model, rows


def request(number: int, tokens: int = 8, **sampling: Any) -> Request:
    """A prompt of its own for each number."""
    settings = {"temperature": 0.0, "max_new_tokens": tokens, **sampling}
    return Request([5 + number, 20, 30 + number], Sampling(**settings))


# ---- who is computed together ---------------------------------------------------------------------------------------


def test_requests_that_wait_are_one_batch(tiny_llama: Path, tiny_bpe: Any) -> None:
    handle, _, rows = endless(tiny_llama, tiny_bpe)
    with opened(handle, batch_size=6) as engine:
        answers = [engine.submit(request(number, tokens=20, seed=number)) for number in range(12)]
        assert all(len(answer.result().token_ids) == 20 for answer in answers)
    assert max(rows) == 6 and len(rows) < 60, f"{len(rows)} steps for two batches of twenty tokens"


def test_places_that_were_left_are_filled(tiny_llama: Path, tiny_bpe: Any) -> None:
    """One long answer does not keep the others waiting, and is not computed beside answers that have ended."""
    handle, _, rows = endless(tiny_llama, tiny_bpe)
    with opened(handle, batch_size=4) as engine:
        long = engine.submit(request(0, tokens=120))
        short = [engine.submit(request(number, tokens=5)) for number in range(1, 9)]
        assert all(len(answer.result().token_ids) == 5 for answer in short)
        assert len(long.result().token_ids) == 120
        assert list(long.result().token_ids) == list(engine.submit(request(0, tokens=120)).result().token_ids)
    assert rows.count(4) < 40 and rows.count(1) > 60


def test_a_cancelled_row_makes_place(tiny_llama: Path, tiny_bpe: Any) -> None:
    handle, _, _ = endless(tiny_llama, tiny_bpe)
    with opened(handle, batch_size=2) as engine:
        running = [engine.submit(Request([5 + number], LONG)) for number in range(2)]
        for answer in running:
            next(iter(answer))
        waiting = engine.submit(request(9))
        running[0].cancel()
        assert len(waiting.result().token_ids) == 8
        assert not running[1].ended
        assert running[0].result().finish_reason == "cancelled" and running[0].result().token_ids


def test_a_request_that_waits_may_be_cancelled(tiny_llama: Path, tiny_bpe: Any) -> None:
    handle, _, _ = endless(tiny_llama, tiny_bpe)
    with opened(handle, batch_size=1) as engine:
        running = engine.submit(Request([5], LONG))
        next(iter(running))
        first, second = engine.submit(request(1)), engine.submit(request(2))
        assert (engine.stats().running, engine.stats().waiting) == (1, 2)
        first.cancel()
        assert first.result().token_ids == () and engine.stats().waiting == 1
        running.cancel()
        assert len(second.result().token_ids) == 8


def test_twenty_threads_that_draw_get_what_they_get_alone(tiny_llama: Path, tiny_bpe: Any) -> None:
    asked = [request(number, tokens=1 + 3 * number, temperature=1.0, top_p=0.9, seed=number) for number in range(20)]
    handle, _, _ = endless(tiny_llama, tiny_bpe)
    with opened(handle, batch_size=8) as engine, ThreadPoolExecutor(20) as threads:
        alone = [engine.submit(each).result() for each in asked]
        assert list(threads.map(lambda each: engine.submit(each).result(), asked)) == alone
    assert [len(answer.token_ids) for answer in alone] == [1 + 3 * number for number in range(20)]


def test_what_comes_behind_the_last_token_is_ignored() -> None:
    """transformers may compute one token more before it sees that it is to stop."""
    settings = Sampling(temperature=1.0)
    choice = choice_of(settings, Sampling(), GenerationConfig())
    row = Row(Request([1], settings), choice, limit=9, ends=frozenset(), random=random.Random(0))
    batch, scores = _Batch([row], lambda rows, going: True), torch.zeros(1, 3)
    token = batch.choose(torch.tensor([[1]]), scores.clone()).argmax().item()
    assert batch.read([token]), "the batch is left, and the row goes on in another"
    state = row.random.getstate()
    assert batch.choose(torch.tensor([[1, token]]), scores) is scores and batch.read([2])
    assert row.made == [token] and row.random.getstate() == state and not row.answer.ended


# ---- adapters and inputs --------------------------------------------------------------------------------------------


def adapted_model(folder: Path) -> Any:
    """A model with two adapters that say different things."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    settings = LoraConfig(r=4, target_modules=["q_proj", "v_proj", "down_proj"], init_lora_weights=False)
    model = get_peft_model(load_plain(folder), settings, "pirate")
    model.add_adapter("poet", settings)
    model.set_adapter("poet")
    return model.eval()


def test_a_request_chooses_its_adapter(tiny_llama: Path, tiny_bpe: Any) -> None:
    """Twelve at once, of four kinds; each equals what the model says when it is set so."""
    model, prompt = adapted_model(tiny_llama), [5, 6, 7, 8]
    ids = torch.tensor([prompt])

    def said() -> list[int]:
        made = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=10, do_sample=False)
        return list(made[0, 4:].tolist())

    expected = {None: said(), "poet": said()}
    model.set_adapter("pirate")
    expected["pirate"] = said()
    model.set_adapter("poet")
    with model.disable_adapter():
        expected["base"] = said()
    assert len({tuple(answer) for answer in expected.values()}) == 3
    sampling = Sampling(max_new_tokens=10, temperature=0.0)
    with opened(handle_of(tiny_llama, tiny_bpe, load=lambda: model)) as engine:
        assert engine.adapters == ("base", "pirate", "poet")
        begun = [(name, engine.submit(Request(prompt, sampling, adapter=name))) for name in [*expected] * 3]
        assert all(list(answer.result().token_ids) == expected[name] for name, answer in begun)
        scores = {name: engine.score([prompt], adapter=name)[0][-1].value for name in ("base", "pirate", "poet", None)}
        assert len(set(scores.values())) == 3 and scores[None] == scores["poet"]
        with pytest.raises(TunesmithError, match="no adapter 'pirat'"):
            engine.score([prompt], adapter="pirat")
    assert model.active_adapter == "poet"


def test_those_who_wait_for_another_adapter_get_their_turn(tiny_llama: Path, tiny_bpe: Any) -> None:
    """Others that go with those who run do not overtake them again and again."""
    model, ended = adapted_model(tiny_llama), []
    model.generation_config.eos_token_id = None
    with opened(handle_of(tiny_llama, tiny_bpe, load=lambda: model), batch_size=2) as engine:
        asked = ["pirate", "pirate", "poet", *["pirate"] * 6]
        begun = []
        for number, name in enumerate(asked):
            answer = engine.submit(Request([9 + number], Sampling(max_new_tokens=6 + number), adapter=name))
            answer.listen(lambda item, name=name: ended.append(name) if item.finish_reason else None)
            begun.append(answer)
        for answer in begun:
            answer.result()
    assert ended.index("poet") <= 3


def test_a_model_without_adapter_has_none_to_choose(tiny_llama: Path, tiny_bpe: Any) -> None:
    with opened(handle_of(tiny_llama, tiny_bpe)) as engine:
        assert engine.adapters == ()
        with pytest.raises(TunesmithError, match="this model has none"):
            engine.submit(Request([5], adapter="base"))


def test_the_models_own_inputs_reach_it(tmp_path: Path, tiny_bpe: Any) -> None:
    """A picture: the answer is the one that transformers gives to it, and another for another picture."""
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    torch.manual_seed(0)
    text = LlamaConfig(vocab_size=400, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2)
    vision = CLIPVisionConfig(
        hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=8, patch_size=4
    )
    model = LlavaForConditionalGeneration(
        LlavaConfig(text_config=text, vision_config=vision, image_token_index=399, image_seq_length=4)
    ).eval()
    torch.nn.init.normal_(model.model.multi_modal_projector.linear_2.weight, std=1.0)
    prompt = [5, *[399] * 4, 6, 7]
    pictures = [torch.randn(1, 3, 8, 8) for _ in range(3)]
    ids = torch.tensor([prompt])
    expected = [
        model.generate(
            ids, attention_mask=torch.ones_like(ids), pixel_values=picture, max_new_tokens=6, do_sample=False
        )[0, len(prompt) :].tolist()
        for picture in pictures
    ]
    sampling = Sampling(max_new_tokens=6, temperature=0.0)
    with opened(handle_of(tmp_path, tiny_bpe, load=lambda: model)) as engine:
        begun = [engine.submit(Request(prompt, sampling, inputs={"pixel_values": each})) for each in pictures]
        assert [list(answer.result().token_ids) for answer in begun] == expected
    assert len(set(map(tuple, expected))) > 1


# ---- ends -----------------------------------------------------------------------------------------------------------


def test_an_error_of_the_model_reaches_every_answer_of_its_batch(tiny_llama: Path, tiny_bpe: Any) -> None:
    model = load_plain(tiny_llama)
    computed, breaks = model.model.forward, threading.Event()

    def forward(*arguments: Any, **inputs: Any) -> Any:
        if breaks.is_set():
            raise ZeroDivisionError("broken")
        return computed(*arguments, **inputs)

    model.model.forward = forward
    with opened(handle_of(tiny_llama, tiny_bpe, load=lambda: model)) as engine:
        expected = engine.submit(request(1)).result()
        breaks.set()
        for answer in [engine.submit(request(number)) for number in range(3)]:
            with pytest.raises(ZeroDivisionError, match="broken"):
                answer.result()
        with pytest.raises(ZeroDivisionError):
            engine.score([[5, 6]])
        breaks.clear()
        assert engine.submit(request(1)).result() == expected, "the engine goes on"
        assert engine.stats().answered == 5


def test_leaving_ends_the_computation(tiny_llama: Path, tiny_bpe: Any) -> None:
    handle, _, rows = endless(tiny_llama, tiny_bpe)
    handle = replace(handle, template=replace(CHATML, stop=()))
    others = threading.enumerate()
    conversations = [Conversation([{"role": "user", "content": text}]) for text in ("Who?", "Where?", "When?")]
    with Chat(handle, Transformers(max_new_tokens=1500, batch_size=1).open_engine) as chat:
        pieces = chat.answer(conversations, Sampling(temperature=0))
        next(pieces)
        pieces.close()
        assert chat.engine.submit(request(1)).result().finish_reason == "length", "the engine is free again"
    assert len(rows) < 1500
    assert not [each for each in threading.enumerate() if each.name == "engine" and each not in others]


def test_two_answers_may_be_read_in_turn(tiny_llama: Path, tiny_bpe: Any) -> None:
    """A second answer while the first is half read neither blocks nor mixes."""
    conversations = [Conversation([{"role": "user", "content": text}]) for text in ("Who are you?", "鲸鱼在唱歌吗？")]
    with Chat(handle_of(tiny_llama, tiny_bpe), Transformers(max_new_tokens=6, temperature=0).open_engine) as chat:
        alone = ["".join(piece.text for piece in chat.answer([each])) for each in conversations]
        first = chat.answer(conversations[:1])
        head = next(first).text
        second = "".join(piece.text for piece in chat.answer(conversations[1:]))
        assert [head + "".join(piece.text for piece in first), second] == alone


def test_closing_ends_calls_that_wait_and_lets_the_model_go(tiny_llama: Path, tiny_bpe: Any) -> None:
    import gc
    import weakref

    model = load_plain(tiny_llama)
    held = weakref.ref(model)
    engine = Transformers().open_engine(handle_of(tiny_llama, tiny_bpe, load=iter([model]).__next__))
    del model
    running = engine.submit(Request([5], LONG))
    next(iter(running))
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(engine.load_weights, [])
        while not engine._worker._queue and not running.ended:
            pass
        engine.close()
        with pytest.raises(TunesmithError, match="closed"):
            waiting.result()
    engine.close()
    gc.collect()
    assert held() is None


# ---- scores and weights ---------------------------------------------------------------------------------------------


def test_scores_in_several_batches_are_the_same(tiny_llama: Path, tiny_bpe: Any, monkeypatch: Any) -> None:
    from tunesmith_engine_transformers import scoring

    sequences = [[5 + number] * (2 + number) for number in range(7)]
    with opened(handle_of(tiny_llama, tiny_bpe)) as engine:
        together = engine.score(sequences)
        monkeypatch.setattr(scoring, "_SCORES", 1)
        for whole, alone in zip(together, engine.score(sequences), strict=True):
            assert [each.value for each in whole] == pytest.approx([each.value for each in alone], abs=1e-5)


@pytest.mark.parametrize(("sequences", "message"), [([[5], []], "sequence 1 is empty"), ([[5] * 2049], "2049 tokens")])
def test_sequences_that_have_no_scores(tiny_llama: Path, tiny_bpe: Any, sequences: Any, message: str) -> None:
    with opened(handle_of(tiny_llama, tiny_bpe)) as engine:
        for ask in (engine.score, engine.embed):
            with pytest.raises(TunesmithError, match=message):
                ask(sequences)


def test_vectors_are_means_of_the_last_hidden_states(tiny_llama: Path, tiny_bpe: Any) -> None:
    sequences = [[5, 6, 7], [9], [8, 7, 6, 5, 4]]
    with opened(handle_of(tiny_llama, tiny_bpe), batch_size=2) as engine:
        vectors = engine.embed(sequences)
    model = load_plain(tiny_llama, "float64")
    for sequence, vector in zip(sequences, vectors, strict=True):
        with torch.no_grad():
            hidden = model.model(torch.tensor([sequence])).last_hidden_state[0]
        assert vector == pytest.approx(hidden.mean(0).tolist(), abs=1e-5)


def test_weights_come_in_any_precision_and_stay_in_the_models_own(tiny_llama: Path, tiny_bpe: Any) -> None:
    model = load_plain(tiny_llama, "bfloat16")
    wanted = torch.randn_like(model.lm_head.weight, dtype=torch.float64)
    with opened(handle_of(tiny_llama, tiny_bpe, load=lambda: model)) as engine:
        engine.load_weights([("lm_head.weight", wanted)])
    assert torch.equal(model.lm_head.weight, wanted.bfloat16())


def test_quantised_weights_are_not_exchanged(tiny_llama: Path, tiny_bpe: Any) -> None:
    model = load_plain(tiny_llama)
    model.register_buffer("packed", torch.zeros(3, dtype=torch.uint8))
    with (
        opened(handle_of(tiny_llama, tiny_bpe, load=lambda: model)) as engine,
        pytest.raises(TunesmithError, match="packed is quantised"),
    ):
        engine.load_weights([("packed", torch.ones(3))])


def test_a_model_is_moved_when_it_is_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[Any] = []

    class Model:
        device = torch.device("cuda")

        def to(self, device: Any) -> None:
            if device == "meta":
                raise ValueError("4-bit weights stay")
            moved.append(device)

    monkeypatch.setattr(torch.accelerator, "empty_cache", lambda: moved.append("emptied"))
    move(Model(), "cuda")
    assert moved == []
    move(Model(), "cpu")
    assert moved == ["cpu", "emptied"]
    with pytest.raises(TunesmithError, match="cannot be moved to meta: 4-bit weights stay"):
        move(Model(), "meta")


@pytest.mark.gpu
def test_asleep_the_accelerator_has_its_memory_back(tiny_llama: Path, tiny_bpe: Any) -> None:
    torch.accelerator.empty_cache()
    before = torch.cuda.memory_reserved()
    model = load_plain(tiny_llama).to("cuda")
    with opened(handle_of(tiny_llama, tiny_bpe, load=lambda: model)) as engine:
        expected = engine.submit(request(1)).result()
        engine.sleep()
        assert model.device.type == "cpu" and torch.cuda.memory_reserved() <= before
        engine.load_weights(model.state_dict().items())
        engine.wake()
        assert model.device.type == "cuda" and engine.submit(request(1)).result() == expected
        drawn = request(2, temperature=1.0, top_p=0.9, seed=4)
        assert engine.submit(drawn).result() == engine.submit(drawn).result()
