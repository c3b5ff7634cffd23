"""A model and its template answering: requests, seeds, one engine, its end."""

import gc
import threading
from types import SimpleNamespace

import pytest
from tunesmith import TunesmithError
from tunesmith.types import Conversation, Delta, Piece, Request, Sampling
from tunesmith_library_engine.chatting import Chat


class Template:
    """Writes and reads letters, and remembers what it was asked."""

    def __init__(self):
        self.asked = []

    def request(self, processor, conversation, sampling, *, stop, context_length):
        self.asked.append((processor, sampling.seed, stop, context_length))
        text = conversation.messages[-1]["content"]
        if not text:
            raise TunesmithError("nothing to answer")
        return Request([ord(letter) for letter in text], sampling)

    def read(self, processor, answers, *, stop, skip_special_tokens):
        for index, answer in enumerate(answers):
            for delta in answer:
                yield Piece(index, "".join(map(chr, delta.token_ids)), delta.token_ids, (), delta.finish_reason)


class Engine:
    """An echo."""

    context_length = 10

    def __init__(self):
        self.submitted, self.closed = [], 0

    def submit(self, request):
        self.submitted.append(request)
        return [Delta(tuple(request.prompt), finish_reason="stop")]

    def close(self):
        self.closed += 1


def chat_of(engine, opened=None):
    def open_engine(handle):
        if opened is not None:
            opened.append(handle)
        return engine

    return Chat(SimpleNamespace(template=Template(), processor="tokenizer"), open_engine)


ASKED = [[{"role": "user", "content": "one"}], Conversation([{"role": "user", "content": "two"}])]


def test_answers_are_read_by_the_template():
    chat = chat_of(Engine())
    pieces = list(chat.answer(ASKED, Sampling(seed=7), stop=("x",)))
    assert [(piece.index, piece.text, piece.num_tokens, piece.finish_reason) for piece in pieces] == [
        (0, "one", 3, "stop"),
        (1, "two", 3, "stop"),
    ]
    assert chat._handle.template.asked == [("tokenizer", 7, ("x",), 10), ("tokenizer", 8, ("x",), 10)]


def test_without_seed_none_is_made_up():
    engine = Engine()
    list(chat_of(engine).answer(ASKED))
    assert [request.sampling for request in engine.submitted] == [Sampling(), Sampling()]


def test_nothing_is_submitted_when_one_conversation_cannot_be_answered():
    engine = Engine()
    with pytest.raises(TunesmithError, match="nothing to answer"):
        list(chat_of(engine).answer([*ASKED, [{"role": "user", "content": ""}]]))
    assert not engine.submitted


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ([{"role": "user", "content": "x"}], "one conversation"),
        ({"role": "user", "content": "x"}, "one conversation"),
        (Conversation([{"role": "user", "content": "x"}]), "one conversation"),
        ("x", "one conversation"),
        ([["x"]], r"message 0 of a conversation is 'x'\.(.|\n)*a message is \{"),
        (
            [[{"role": "user", "content": "a \udcff"}]],
            r"`messages\[0\]\.content` of .* half of a surrogate pair",
        ),
        ([[{"role": "user", "content": [{"type": "text", "text": "\ud800"}]}]], r"`messages\[0\]\.content\[0\]\.text`"),
        ([Conversation([{"role": "user", "content": "x"}], [{"name": "\udcfe"}])], r"`tools\[0\]\.name`"),
    ],
)
def test_what_is_no_list_of_conversations_or_no_text(asked, told):
    engine = Engine()
    with pytest.raises(TunesmithError, match=told):
        list(chat_of(engine).answer(asked))
    assert not engine.submitted


def test_the_engine_is_opened_once_and_only_when_it_is_needed():
    opened = []
    chat = chat_of(Engine(), opened)
    assert list(chat.answer([])) == [] and not opened
    threads = [threading.Thread(target=lambda: list(chat.answer(ASKED))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(opened) == 1


def test_the_engine_is_closed_with_the_chat():
    engine = Engine()
    with chat_of(engine) as chat:
        list(chat.answer(ASKED))
    assert engine.closed == 1
    with chat_of(engine):
        pass
    assert engine.closed == 1, "one that was never opened is not closed"


def test_a_chat_that_nobody_holds_closes_its_engine_but_not_before_its_answers_are_read():
    engine = Engine()
    pieces = chat_of(engine).answer(ASKED)
    next(pieces)
    gc.collect()
    assert not engine.closed
    list(pieces)
    gc.collect()
    assert engine.closed == 1


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("top_p", 1.5, "from 0 to 1"),
        ("temperature", -1.0, "at least 0"),
        ("temperature", float("nan"), "at least 0"),
        ("max_new_tokens", 0, "at least 1"),
        ("frequency_penalty", 3.0, "from -2 to 2"),
        ("repetition_penalty", 0.0, "above 0"),
    ],
)
def test_sampling_out_of_range(name, value, allowed):
    with pytest.raises(TunesmithError, match=f"{name}=.* is out of range: {allowed}"):
        Sampling(**{name: value})
