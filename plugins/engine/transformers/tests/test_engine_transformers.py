"""The transformers engine: text in whole pieces, endings, sampling, batches, threads."""

import functools
import gc
import random
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer
from tunesmith import TunesmithError
from tunesmith.types import Conversation, Sampling
from tunesmith_engine_transformers import Transformers
from tunesmith_engine_transformers.answer import Answer, Ending
from tunesmith_engine_transformers.settings import generation_config
from tunesmith_engine_transformers.streaming import left_padded
from tunesmith_engine_transformers.text import Detokenizer, StopFinder
from tunesmith_library_testing import EngineSuite
from tunesmith_library_testing.parts import CHATML, StubPlan, handle_of, load_plain, source_of
from tunesmith_library_testing.tiny import save_tiny_model

QUESTIONS = ("Who are you?", "鲸鱼在唱歌吗？", "Count: 1, 2, 3, " * 5)
CONVERSATIONS = [Conversation([{"role": "user", "content": question}]) for question in QUESTIONS]


class TestTransformers(EngineSuite):
    plugin = Transformers


def prompt_ids(tokenizer, question: str) -> list[int]:
    text = CHATML.render([{"role": "user", "content": question}], add_generation_prompt=True).text
    return tokenizer.encode(text, add_special_tokens=False)


def scripted(folder: Path, tokenizer, *texts: str):
    """A tiny model that says the texts, one per question: real generation, known words."""
    model, step = load_plain(folder), 0
    script = {
        tuple(prompt_ids(tokenizer, question)): tokenizer.encode(text, add_special_tokens=False)
        for question, text in zip(QUESTIONS, texts, strict=False)
    }
    saying: list[list[int]] = []
    computed = model.forward

    def forward(input_ids=None, attention_mask=None, past_key_values=None, **inputs):
        nonlocal saying, step
        step += 1
        if past_key_values.get_seq_length() == 0:
            masks = torch.ones_like(input_ids) if attention_mask is None else attention_mask
            rows = [row[mask.bool()] for row, mask in zip(input_ids, masks, strict=True)]
            saying, step = [script[tuple(row.tolist())] for row in rows], 0
        output = computed(input_ids, attention_mask=attention_mask, past_key_values=past_key_values, **inputs)
        for row, said in enumerate(saying):
            output.logits[row, -1, said[min(step, len(said) - 1)]] += 1000.0
        return output

    model.forward = forward
    return handle_of(folder, tokenizer, load=lambda: model)


def say(handle, sampling=None, count: int = 1, **options):
    engine = Transformers(**options)
    return list(engine.generate(handle, CONVERSATIONS[:count], sampling or Sampling()))


def joined(deltas, index: int = 0) -> str:
    return "".join(delta.text for delta in deltas if delta.index == index)


def test_a_classifier_is_refused(tiny_llama: Path, tiny_bpe, tmp_path: Path) -> None:
    """Loaded as a language model, a reward model would have an output layer of random numbers."""
    from transformers import AutoModelForSequenceClassification

    AutoModelForSequenceClassification.from_pretrained(tiny_llama, num_labels=1).save_pretrained(tmp_path)
    handle = handle_of(tmp_path, tiny_bpe, load=lambda: load_plain(tmp_path))
    with pytest.raises(TunesmithError, match=r"LlamaForSequenceClassification(.|\n)*reward.model.path"):
        say(handle)


# ---- text -----------------------------------------------------------------------------------------------------------

TEXTS = ["plain words, and more", "你好，世界 🐋🌊 done", "  spaces\n\nand\tlines ", "e\u0301 👨‍👩‍👧 𝄞", "半个字"]


@pytest.mark.parametrize("text", TEXTS)
def test_pieces_are_whole_characters_and_join_to_the_text(tiny_bpe, text: str) -> None:
    reader = Detokenizer(tiny_bpe.decode)
    pieces = [reader.push(token) for token in tiny_bpe.encode(text, add_special_tokens=False)] + [reader.finish()]
    assert "".join(pieces) == text
    assert not any("\ufffd" in piece for piece in pieces)
    assert sum(map(bool, pieces)) > 1


def test_random_tokens_join_to_what_decoding_at_once_gives(tiny_bpe) -> None:
    chooser = random.Random(0)
    for _ in range(200):
        ids = [chooser.randrange(len(tiny_bpe)) for _ in range(20)]
        reader = Detokenizer(tiny_bpe.decode)
        text = "".join([*map(reader.push, ids), reader.finish()])
        assert text.rstrip("\ufffd") == tiny_bpe.decode(ids).rstrip("\ufffd")


@pytest.mark.real
@pytest.mark.parametrize("name", ["llama2", "llama3", "mistral", "qwen"])
def test_pieces_join_to_the_text_with_real_tokenizers(real_files: Path, name: str) -> None:
    real = AutoTokenizer.from_pretrained(real_files / "tokenizers" / name)
    chooser = random.Random(0)
    at_random = [[chooser.randrange(len(real)) for _ in range(20)] for _ in range(100)]
    for ids in [*(real.encode(text, add_special_tokens=False) for text in TEXTS), *at_random]:
        reader = Detokenizer(functools.partial(real.decode, clean_up_tokenization_spaces=False))
        pieces = [*map(reader.push, ids), reader.finish()]
        expected = real.decode(ids, clean_up_tokenization_spaces=False)
        assert "".join(pieces).rstrip("\ufffd") == expected.rstrip("\ufffd")


def test_half_a_character_at_the_end_is_dropped(tiny_bpe) -> None:
    reader = Detokenizer(tiny_bpe.decode)
    ids = tiny_bpe.encode("go 🐋", add_special_tokens=False)[:-1]
    assert tiny_bpe.decode(ids).endswith("\ufffd")
    assert "".join([*map(reader.push, ids), reader.finish()]) == "go "


@pytest.mark.parametrize("stops", [("<end>",), ("<end>", "<e"), ("aab", "ab"), ("\n\n",), ()])
def test_stop_strings_cut_at_their_first_occurrence_however_the_text_is_cut(stops) -> None:
    chooser = random.Random(1)
    for _ in range(300):
        text = "".join(chooser.choice(["a", "b", "<", "e", "<end", ">", "\n"]) for _ in range(12))
        finder, shown, stopped = StopFinder(stops), "", False
        for character in text:
            piece, stopped = finder.push(character)
            shown += piece
            assert not any(stop in shown for stop in stops)
            if stopped:
                break
        shown += "" if stopped else finder.finish()
        # The reference: the shortest beginning of the text that holds a stop string, cut where that begins.
        ends = [end for end in range(len(text) + 1) if any(text[:end].endswith(stop) for stop in stops)]
        expected = text[: min(text.find(s) for s in stops if s in text[: ends[0]])] if ends else text
        assert shown == expected and stopped == bool(ends)


def test_what_may_begin_a_stop_string_is_held_back_no_longer_than_needed() -> None:
    finder = StopFinder(["</tool>"])
    assert [finder.push(piece) for piece in ("a<", "/to", "ol", "s>", "b")] == [
        ("a", False),
        ("", False),
        ("", False),
        ("</tools>", False),
        ("b", False),
    ]


def test_skipped_tokens_count_but_are_not_shown() -> None:
    ending = Ending(tokens={0}, strings=(), skipped={1}, decode=lambda ids: "".join(map(chr, ids)))
    answer = Answer(7, 10, ending)
    deltas = [delta for token in (65, 1, 1, 66, 0) if (delta := answer.push(token))]
    assert [(delta.index, delta.text, delta.num_tokens, delta.finish_reason) for delta in deltas] == [
        (7, "A", 1, None),
        (7, "B", 3, None),
        (7, "", 1, "stop"),
    ]


# ---- endings --------------------------------------------------------------------------------------------------------


def test_the_template_ends_the_answer(tiny_llama: Path, tiny_bpe) -> None:
    deltas = say(scripted(tiny_llama, tiny_bpe, "你好 🐋!<|im_end|>\nmore"))
    assert joined(deltas) == "你好 🐋!"
    assert deltas[-1].finish_reason == "stop" and not any(delta.finish_reason for delta in deltas[:-1])
    assert not any("\ufffd" in delta.text for delta in deltas) and len(deltas) > 3
    assert sum(delta.num_tokens for delta in deltas) == len(tiny_bpe.encode("你好 🐋!<|im_end|>"))


def test_the_end_of_text_ends_the_answer(tiny_llama: Path, tiny_bpe) -> None:
    assert joined(say(scripted(tiny_llama, tiny_bpe, "yes</s>no"))) == "yes"


def test_a_stop_string_of_several_tokens_ends_the_answer(tiny_llama: Path, tiny_bpe) -> None:
    handle = scripted(tiny_llama, tiny_bpe, "one STOPped two STOP three")
    deltas = say(handle, Sampling(stop=("STOP ",), max_new_tokens=60))
    assert joined(deltas) == "one STOPped two " and deltas[-1].finish_reason == "stop"


def test_length_ends_the_answer_with_everything_held_back(tiny_llama: Path, tiny_bpe) -> None:
    text = "one STO"
    handle = scripted(tiny_llama, tiny_bpe, text)
    length = len(tiny_bpe.encode(text))
    deltas = say(handle, Sampling(stop=("STOP",)), max_new_tokens=length)
    assert joined(deltas) == text and deltas[-1].finish_reason == "length"
    assert sum(delta.num_tokens for delta in deltas) == length


def test_answers_of_a_batch_end_one_by_one(tiny_llama: Path, tiny_bpe) -> None:
    texts = ("a<|im_end|>", "鲸鱼 sing for a long while<|im_end|>", "b</s>")
    deltas = say(scripted(tiny_llama, tiny_bpe, *texts), count=3)
    assert [joined(deltas, index) for index in range(3)] == ["a", "鲸鱼 sing for a long while", "b"]
    assert [delta.index for delta in deltas if delta.finish_reason] == [0, 2, 1]


@pytest.mark.parametrize(("skip", "expected"), [(True, "ab"), (False, "a<pad>b")])
def test_special_tokens(tiny_llama: Path, tiny_bpe, skip: bool, expected: str) -> None:
    assert joined(say(scripted(tiny_llama, tiny_bpe, "a<pad>b</s>"), skip_special_tokens=skip)) == expected


# ---- sampling -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
@pytest.mark.parametrize("batch_size", [16, 2])
def test_greedy_batches_equal_transformers_one_by_one(tmp_path, tiny_bpe, architecture: str, batch_size: int) -> None:
    folder = save_tiny_model(tmp_path / architecture, architecture=architecture, seed=3)
    deltas = say(
        handle_of(folder, tiny_bpe), Sampling(repetition_penalty=1.3), 3, max_new_tokens=24, batch_size=batch_size
    )
    model = load_plain(folder)
    for index, question in enumerate(QUESTIONS):
        ids = torch.tensor([prompt_ids(tiny_bpe, question)])
        made = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=24, do_sample=False, repetition_penalty=1.3
        )[0, ids.shape[1] :]
        ended = [token in (tiny_bpe.eos_token_id, tiny_bpe.convert_tokens_to_ids("<|im_end|>")) for token in made]
        made = made[: ended.index(True)] if any(ended) else made
        assert joined(deltas, index).rstrip("\ufffd") == tiny_bpe.decode(made, skip_special_tokens=True).rstrip(
            "\ufffd"
        )
        assert joined(deltas, index)


@pytest.mark.parametrize(
    ("own", "wanted", "draws", "temperature", "top_p", "top_k"),
    [
        ({}, {}, False, 1.0, 1.0, 50),
        ({}, {"temperature": 0.7}, True, 0.7, 1.0, 0),
        ({}, {"top_p": 0.9}, True, 1.0, 0.9, 0),
        ({"do_sample": True, "temperature": 0.6, "top_p": 0.8, "top_k": 20}, {}, True, 0.6, 0.8, 20),
        ({"do_sample": True, "temperature": 0.6, "top_p": 0.8, "top_k": 20}, {"temperature": 0}, False, 1.0, 1.0, 50),
        ({"do_sample": True, "temperature": 0.6, "top_k": 20}, {"top_k": 5}, True, 0.6, 1.0, 5),
    ],
)
def test_what_is_asked_wins_over_the_models_own(tiny_llama, own, wanted, draws, temperature, top_p, top_k) -> None:
    model = load_plain(tiny_llama)
    for name, value in own.items():
        setattr(model.generation_config, name, value)
    ending = Ending(tokens={1, 4}, strings=(), skipped=(), decode=str)
    config = generation_config(model, Sampling(**wanted), 9, ending)
    assert (config.do_sample, config.temperature, config.top_p, config.top_k) == (draws, temperature, top_p, top_k)
    assert config.eos_token_id == [1, 4] and config.max_new_tokens == 9
    assert model.generation_config.eos_token_id == 1


def test_requests_win_over_options(tiny_llama: Path, tiny_bpe) -> None:
    handle = handle_of(tiny_llama, tiny_bpe)
    deltas = say(handle, Sampling(max_new_tokens=3, temperature=0), max_new_tokens=30, temperature=2.0)
    assert sum(delta.num_tokens for delta in deltas) <= 3
    assert joined(deltas) == joined(say(handle, Sampling(max_new_tokens=3, temperature=0)))


def test_a_seed_leaves_the_random_numbers_outside_alone(tiny_llama: Path, tiny_bpe) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    say(handle_of(tiny_llama, tiny_bpe), Sampling(seed=1, temperature=1, max_new_tokens=4))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("wanted", [{"top_p": 1.5}, {"temperature": -1.0}, {"max_new_tokens": 0}])
def test_values_out_of_range_are_refused(tiny_llama: Path, tiny_bpe, wanted) -> None:
    (name,) = wanted
    with pytest.raises(TunesmithError, match=f"{name}=.*out of range"):
        say(handle_of(tiny_llama, tiny_bpe), Sampling(**wanted))
    engine = Transformers(**wanted)
    assert [problem.key for problem in engine.check(StubPlan({"engine": {"transformers": engine}}))] == [
        f"engine.{name}"
    ]


# ---- prompts, models, threads ---------------------------------------------------------------------------------------


def test_left_padding() -> None:
    ids, mask = left_padded([[7, 8, 9], [5]], "cpu")
    assert ids.tolist() == [[7, 8, 9], [5, 5, 5]] and mask.tolist() == [[1, 1, 1], [0, 0, 1]]


def test_the_context_ends_the_answer(tmp_path: Path, tiny_bpe) -> None:
    length = len(prompt_ids(tiny_bpe, QUESTIONS[0]))
    folder = save_tiny_model(tmp_path / "short", max_position_embeddings=length + 5)
    deltas = say(handle_of(folder, tiny_bpe), Sampling(temperature=0))
    assert sum(delta.num_tokens for delta in deltas) == 5 and deltas[-1].finish_reason == "length"
    long = Conversation([{"role": "user", "content": "word " * length}])
    with pytest.raises(TunesmithError, match=f"context ends at {length + 5}"):
        list(Transformers().generate(handle_of(folder, tiny_bpe), [long], Sampling()))


def test_images_are_refused(tiny_llama: Path, tiny_bpe) -> None:
    picture = Conversation([{"role": "user", "content": [{"type": "image", "url": "x.png"}]}])
    with pytest.raises(TunesmithError, match="answers text, not image"):
        list(Transformers().generate(handle_of(tiny_llama, tiny_bpe), [picture], Sampling()))


def test_no_conversations_no_model(tiny_bpe, tiny_llama: Path) -> None:
    handle = handle_of(tiny_llama, tiny_bpe, load=lambda: pytest.fail("loaded"))
    assert list(Transformers().generate(handle, [], Sampling())) == []


def test_the_model_goes_with_its_handle(tiny_llama: Path, tiny_bpe) -> None:
    engine, handle = Transformers(), handle_of(tiny_llama, tiny_bpe)
    list(engine.generate(handle, CONVERSATIONS[:1], Sampling(max_new_tokens=1)))
    assert len(engine._models) == 1
    del handle
    gc.collect()
    assert not engine._models


def test_an_error_of_the_model_comes_out_of_the_iterator(tiny_llama: Path, tiny_bpe) -> None:
    model = load_plain(tiny_llama)
    model.model.forward = None
    engine = Transformers()
    answer = engine.generate(handle_of(tiny_llama, tiny_bpe, load=lambda: model), CONVERSATIONS, Sampling())
    with pytest.raises(TypeError):
        next(answer)
    assert not [thread for thread in threading.enumerate() if thread.name == "generate"]


def test_leaving_ends_the_computation(tiny_llama: Path, tiny_bpe) -> None:
    model, steps = load_plain(tiny_llama), []
    model.register_forward_hook(lambda *_: steps.append(1))
    model.generation_config.eos_token_id = None
    talkative = replace(CHATML, stop=())
    handle = handle_of(tiny_llama, tiny_bpe, template=talkative, load=lambda: model)
    answer = Transformers(max_new_tokens=1500, batch_size=1).generate(handle, CONVERSATIONS, Sampling(temperature=0))
    next(answer)
    answer.close()
    assert len(steps) < 1500
    assert not [thread for thread in threading.enumerate() if thread.name == "generate"]


def test_two_answers_may_be_read_in_turn(tiny_llama: Path, tiny_bpe) -> None:
    """A second generation while the first is half read neither blocks nor mixes."""
    engine, handle = Transformers(max_new_tokens=6, temperature=0), handle_of(tiny_llama, tiny_bpe)
    alone = [joined(list(engine.generate(handle, [conversation], Sampling()))) for conversation in CONVERSATIONS[:2]]
    first = engine.generate(handle, CONVERSATIONS[:1], Sampling())
    head = next(first)
    second = joined(list(engine.generate(handle, CONVERSATIONS[1:2], Sampling())))
    assert [head.text + joined(list(first)), second] == alone


def test_batches_equal_single_answers_with_the_transformers_loader(tiny_llama: Path, tiny_bpe) -> None:
    """Left padding through the attention function that the loader installs."""
    loader = pytest.importorskip("tunesmith_model_transformers").Transformers(path=str(tiny_llama))
    source = source_of(tiny_llama, training=False)
    handle = handle_of(tiny_llama, tiny_bpe, load=lambda: loader.load_model(source, tiny_bpe, None))
    deltas = say(handle, Sampling(temperature=0, max_new_tokens=20), 3)
    plain = say(handle_of(tiny_llama, tiny_bpe), Sampling(temperature=0, max_new_tokens=20), 3)
    assert [joined(deltas, index) for index in range(3)] == [joined(plain, index) for index in range(3)]
