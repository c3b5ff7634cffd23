"""Reading answers: text in whole pieces, stop strings, special tokens, several answers at once."""

from __future__ import annotations

import functools
import random
import threading
from pathlib import Path
from typing import Any

import pytest
from tunesmith.types import Delta, LogProb, Piece
from tunesmith_library_chat import ChatTemplate
from tunesmith_library_chat.detokenizing import Detokenizer, StopFinder
from tunesmith_library_chat.reading import Reader, Reading, read
from tunesmith_library_engine import StreamedAnswer

CHATML = ChatTemplate("chatml", "", ("<|im_end|>",))


def deltas_of(ids: list[int], reason: Any = "stop", sizes: tuple[int, ...] = (1,)) -> list[Delta]:
    """Deltas of the given sizes, one after the other and again."""
    made, start = [], 0
    while start < len(ids):
        size = sizes[len(made) % len(sizes)]
        made.append(Delta(tuple(ids[start : start + size]), (), reason if start + size >= len(ids) else None))
        start += size
    return made


def answered(*deltas: Delta) -> StreamedAnswer:
    answer = StreamedAnswer()
    for delta in deltas:
        answer.put(delta)
    return answer


def said(tokenizer: Any, text: str, reason: Any = "stop", **options: Any) -> list[Piece]:
    """The pieces of an answer of these tokens."""
    ids = tokenizer.encode(text, add_special_tokens=False)
    return list(CHATML.read(tokenizer, [answered(*deltas_of(ids, reason))], **options))


def joined(pieces: list[Piece], index: int = 0) -> str:
    return "".join(piece.text for piece in pieces if piece.index == index)


# ---- text -----------------------------------------------------------------------------------------------------------

TEXTS = ["plain words, and more", "你好，世界 🐋🌊 done", "  spaces\n\nand\tlines ", "e\u0301 👨‍👩‍👧 𝄞", "半个字"]


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_that_goes_on_is_what_is_new_wherever_it_was_cut(tiny_bpe: Any, text: str) -> None:
    """Also where a tokenizer takes the space off the beginning of a text, and within a character."""

    def decode(ids: Any) -> str:
        return str(tiny_bpe.decode(ids)).removeprefix(" ")

    ids = tiny_bpe.encode("It says" + text, add_special_tokens=False)
    for cut in range(1, len(ids)):
        reader = Detokenizer(decode, ids[:cut])
        new = "".join([reader.push(token) for token in ids[cut:]] + [reader.finish()])
        assert decode(ids[:cut]).rstrip("\ufffd") + new == "It says" + text


def test_a_reader_says_what_ended_its_answer(tiny_bpe: Any) -> None:
    ids = tiny_bpe.encode("one, two, three", add_special_tokens=False)
    for stop, delta, expected in (
        ((", tw", ", t"), Delta(tuple(ids)), ", t"),
        (("x", tiny_bpe.decode(ids[-1:])), Delta(tuple(ids[:1] + ids[-1:]), finish_reason="stop"), "the last token"),
        (("x",), Delta(tuple(ids), finish_reason="length"), None),
    ):
        reader = Reader(0, Reading(tiny_bpe.decode, stop))
        reader.push(delta)
        assert reader.stopped_by == (stop[1] if expected == "the last token" else expected)


@pytest.mark.parametrize("text", TEXTS)
def test_pieces_are_whole_characters_and_join_to_the_text(tiny_bpe: Any, text: str) -> None:
    reader = Detokenizer(tiny_bpe.decode)
    pieces = [reader.push(token) for token in tiny_bpe.encode(text, add_special_tokens=False)] + [reader.finish()]
    assert "".join(pieces) == text
    assert not any("\ufffd" in piece for piece in pieces)
    assert sum(map(bool, pieces)) > 1


def test_random_tokens_join_to_what_decoding_at_once_gives(tiny_bpe: Any) -> None:
    chooser = random.Random(0)
    for _ in range(200):
        ids = [chooser.randrange(len(tiny_bpe)) for _ in range(20)]
        reader = Detokenizer(tiny_bpe.decode)
        text = "".join([*map(reader.push, ids), reader.finish()])
        assert text.rstrip("\ufffd") == tiny_bpe.decode(ids).rstrip("\ufffd")


@pytest.mark.real
@pytest.mark.parametrize("name", ["llama2", "llama3", "mistral", "qwen"])
def test_pieces_join_to_the_text_with_real_tokenizers(real_files: Path, name: str) -> None:
    from transformers import AutoTokenizer

    real = AutoTokenizer.from_pretrained(real_files / "tokenizers" / name)
    chooser = random.Random(0)
    size = len(real)  # tokenizers may count anew each time
    at_random = [[chooser.randrange(size) for _ in range(20)] for _ in range(100)]
    for ids in [*(real.encode(text, add_special_tokens=False) for text in TEXTS), *at_random]:
        reader = Detokenizer(functools.partial(real.decode, clean_up_tokenization_spaces=False))
        pieces = [*map(reader.push, ids), reader.finish()]
        expected = real.decode(ids, clean_up_tokenization_spaces=False)
        assert "".join(pieces).rstrip("\ufffd") == expected.rstrip("\ufffd")


def test_half_a_character_at_the_end_is_dropped(tiny_bpe: Any) -> None:
    reader = Detokenizer(tiny_bpe.decode)
    ids = tiny_bpe.encode("go 🐋", add_special_tokens=False)[:-1]
    assert tiny_bpe.decode(ids).endswith("\ufffd")
    assert "".join([*map(reader.push, ids), reader.finish()]) == "go "


@pytest.mark.parametrize("stops", [("<end>",), ("<end>", "<e"), ("aab", "ab"), ("\n\n",), ()])
def test_stop_strings_cut_at_their_first_occurrence_however_the_text_is_cut(stops: tuple[str, ...]) -> None:
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


# ---- one answer -----------------------------------------------------------------------------------------------------


def test_skipped_tokens_count_but_are_not_shown() -> None:
    reader = Reader(7, Reading(decode=lambda ids: "".join(map(chr, ids)), skipped={1}))
    pieces = [piece for delta in deltas_of([65, 1, 1, 66, 0]) if (piece := reader.push(delta))]
    assert [(piece.index, piece.text, piece.num_tokens, piece.finish_reason) for piece in pieces] == [
        (7, "A", 1, None),
        (7, "B", 3, None),
        (7, "", 1, "stop"),
    ]


@pytest.mark.parametrize("sizes", [(1,), (2,), (3, 1), (50,)])
def test_the_token_that_ended_an_answer_is_no_text(tiny_bpe: Any, sizes: tuple[int, ...]) -> None:
    ids = tiny_bpe.encode("你好 🐋!<|im_end|>", add_special_tokens=False)
    (pieces,) = [list(CHATML.read(tiny_bpe, [answered(*deltas_of(ids, sizes=sizes))], skip_special_tokens=False))]
    assert joined(pieces) == "你好 🐋!"
    assert pieces[-1].finish_reason == "stop" and not any(piece.finish_reason for piece in pieces[:-1])
    assert not any("\ufffd" in piece.text for piece in pieces)
    assert [token for piece in pieces for token in piece.token_ids] == ids


def test_a_stop_string_of_several_tokens_ends_the_answer(tiny_bpe: Any) -> None:
    ids = tiny_bpe.encode("one STOPped two STOP three", add_special_tokens=False)
    answer = answered(*[Delta((token,)) for token in ids])
    pieces = list(CHATML.read(tiny_bpe, [answer], stop=("STOP ",)))
    assert joined(pieces) == "one STOPped two " and pieces[-1].finish_reason == "stop"
    assert answer.result().finish_reason == "cancelled", "the engine need not go on"
    assert sum(piece.num_tokens for piece in pieces) < len(ids)


def test_length_ends_the_answer_with_everything_held_back(tiny_bpe: Any) -> None:
    pieces = said(tiny_bpe, "one STO", "length", stop=("STOP",))
    assert joined(pieces) == "one STO" and pieces[-1].finish_reason == "length"
    assert sum(piece.num_tokens for piece in pieces) == len(tiny_bpe.encode("one STO"))


@pytest.mark.parametrize(("skip", "expected"), [(True, "ab"), (False, "a<pad>b")])
def test_special_tokens(tiny_bpe: Any, skip: bool, expected: str) -> None:
    assert joined(said(tiny_bpe, "a<pad>b</s>", skip_special_tokens=skip)) == expected


def test_a_special_token_in_a_stop_string_is_seen(tiny_bpe: Any) -> None:
    assert joined(said(tiny_bpe, "a<|im_end|>\nb", "length", stop=("<|im_end|>\n",))) == "a"


def test_log_probabilities_go_with_their_tokens(tiny_bpe: Any) -> None:
    ids = tiny_bpe.encode("go 🐋 on", add_special_tokens=False)
    answer = answered(*[Delta((token,), (LogProb(-float(token)),)) for token in ids], Delta((), (), "length"))
    pieces = list(CHATML.read(tiny_bpe, [answer]))
    assert len(pieces) < len(ids), "a whale has several tokens"
    for piece in pieces:
        assert [-probability.value for probability in piece.log_probs] == list(piece.token_ids)


# ---- several --------------------------------------------------------------------------------------------------------


def test_several_answers_come_as_they_are_given() -> None:
    answers = [StreamedAnswer() for _ in range(3)]
    pieces = read(answers, [Reading(decode=lambda ids: "".join(map(chr, ids)))] * len(answers))
    order = [2, 0, 2, 1]
    for index in order:
        threading.Timer(0.01, answers[index].put, [Delta((65 + index,))]).start()
        assert next(pieces) == Piece(index, "ABC"[index], (65 + index,))
    for answer in answers:
        answer.put(Delta((), finish_reason="length"))
    assert [piece.index for piece in pieces] == [0, 1, 2]


def test_closing_cancels_what_is_left() -> None:
    answers = [answered(Delta((65,)), Delta((), finish_reason="length")), answered(Delta((66,)))]
    pieces = read(answers, [Reading(decode=lambda ids: "".join(map(chr, ids)))] * len(answers))
    assert next(pieces).text == "A"
    pieces.close()
    assert [answer.result().finish_reason for answer in answers] == ["length", "cancelled"]


def test_an_error_of_the_engine_ends_the_reading() -> None:
    answers = [answered(Delta((65,))), answered(Delta((66,)))]
    answers[1].fail(ZeroDivisionError("so"))
    with pytest.raises(ZeroDivisionError, match="so"):
        list(read(answers, [Reading(decode=lambda ids: "".join(map(chr, ids)))] * len(answers)))
    assert answers[0].result().finish_reason == "cancelled"


def test_a_cancelled_answer_is_read_to_where_it_came() -> None:
    answer = answered(Delta((65,)))
    answer.cancel()
    pieces = list(read([answer], [Reading(decode=lambda ids: "".join(map(chr, ids)))]))
    assert [(piece.text, piece.finish_reason) for piece in pieces] == [("A", None), ("", "cancelled")]


def test_no_answers() -> None:
    assert list(read([], [])) == []
