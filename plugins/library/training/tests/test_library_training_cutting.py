"""Where conversations are cut: at random places, against what the template's own marks say of the text that is left."""

from __future__ import annotations

import random
from typing import Any

import pytest
from tunesmith_library_chat import ChatTemplate, Thinking
from tunesmith_library_chat.calls import HERMES
from tunesmith_library_formats import tallying
from tunesmith_library_training.cutting import cut_of
from tunesmith_library_training.encoding import Encoded, Spans, encode_conversations
from tunesmith_library_training.fitting import Fitting

JINJA = (
    "{% for m in messages %}[[{{ m.role }}]]\n{% if m.role == 'assistant' %}{% generation %}"
    "{% if m.reasoning %}<think>\n{{ m.reasoning }}\n</think>\n\n{% endif %}{{ m.content }}"
    "{% for c in m.tool_calls or [] %}<tool_call>\n{{ c.function | tojson }}\n</tool_call>{% endfor %}"
    "[[/]]{% endgeneration %}{% else %}{{ m.content }}[[/]]{% endif %}\n{% endfor %}"
)
TEMPLATE = ChatTemplate("texts", JINJA, ("[[/]]",), calls=HERMES, thinking=Thinking())  # marks are of several tokens
MARKS = (
    "[[/]]",
    "[[user]]\n",
    "[[assistant]]\n",
    "[[tool]]\n",
    "[[system]]\n",
    "<think>",
    "</think>",
    "<tool_call>",
    "</tool_call>",
)
WORDS = ["tide", "whale", "sings", "鲸鱼", "🐋", "moon", "twice", "12:04"]


def conversation(generator: random.Random) -> list[dict[str, Any]]:
    def said(most: int) -> str:
        return " ".join(generator.choices(WORDS, k=generator.randint(1, most)))

    chat = [{"role": "system", "content": said(5)}] if generator.random() < 0.3 else []
    for _ in range(generator.randint(1, 3)):
        chat.append({"role": "user", "content": said(20)})
        if generator.random() < 0.4:
            call = {"type": "function", "function": {"name": "tide", "arguments": {"at": said(3)}}}
            chat.append({"role": "assistant", "reasoning": said(6), "content": "", "tool_calls": [call]})
            chat.append({"role": "tool", "content": said(8)})
        chat.append({"role": "assistant", "content": said(20)})
    return chat


def cut(tokenizer: Any, chats: list[Any], most: int, **options: Any) -> list[Encoded]:
    return encode_conversations([{"messages": chat} for chat in chats], tokenizer, TEMPLATE, Spans(**options), most)


@pytest.mark.parametrize("whole", [False, True])
def test_no_mark_is_cut_through(tiny_bpe: Any, whole: bool) -> None:
    """What is left is the beginning of the text, ends in what somebody says, and is as long as that allows."""
    generator = random.Random(1)
    chats = [conversation(generator) for _ in range(30)]
    for whole_one, chat in zip(cut(tiny_bpe, chats, 10**6, whole=whole), chats, strict=True):
        text = TEMPLATE.render(chat, training=True).text
        most = generator.randint(2, whole_one.length - 1)
        [left] = cut(tiny_bpe, [chat], most, whole=whole)
        kept = len(left["input_ids"])
        assert kept <= most and left.length == whole_one.length
        assert left["input_ids"] == whole_one["input_ids"][:kept] and left["labels"] == whole_one["labels"][:kept]
        said = tiny_bpe.decode(left["input_ids"])
        assert text.startswith(said), "no character is cut through"
        assert kept == 0 or is_content(text, len(said)) or text[: len(said)].endswith("[[/]]")
        better = [
            tokens for tokens in range(kept + 1, most + 1) if may_end(tiny_bpe, text, whole_one["input_ids"][:tokens])
        ]
        assert not better, "more could have been kept"


def may_end(tokenizer: Any, text: str, ids: list[int]) -> bool:
    said = tokenizer.decode(ids)
    return text.startswith(said) and is_content(text, len(said))


def is_content(text: str, place: int) -> bool:
    """Whether the character before a place is what somebody says, found by reading the text from its beginning."""
    at, inside = 0, [False] * len(text)
    while at < len(text):
        mark = next((mark for mark in MARKS if text.startswith(mark, at)), None)
        at += len(mark) if mark else 1
        if mark is None:
            inside[at - 1] = True
    said = text[:place]
    if said.endswith(("</think>", "</tool_call>")):  # behind a whole one more may be said
        return True
    opened = said.endswith(("<think>\n", "<tool_call>\n", "[[/]]\n"))
    return bool(place) and inside[place - 1] and not opened


class Pieces:
    """An encoding whose tokens are pieces of a text, whatever stands in them."""

    def __init__(self, text: str, generator: random.Random) -> None:
        self.bounds = [0]
        while self.bounds[-1] < len(text):
            self.bounds.append(min(len(text), self.bounds[-1] + generator.randint(1, 4)))

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def token_to_chars(self, token: int) -> tuple[int, int]:
        return self.bounds[token], self.bounds[token + 1]


def test_tokens_that_go_across_marks(tiny_bpe: Any) -> None:
    """No mark is left that is cut through; behind an answer's end may be what its last token has of the next turn."""
    generator = random.Random(7)
    for _ in range(300):
        row = {"messages": conversation(generator)}
        rendered = TEMPLATE.render(row["messages"], training=True)
        pieces = Pieces(rendered.text, generator)
        most = generator.randint(1, len(pieces) - 1)
        found = cut_of(row, rendered, pieces, most, TEMPLATE)
        assert 0 <= found.tokens <= most
        place = pieces.bounds[found.tokens]
        ends = [span.end for span in rendered.spans if pieces.bounds[max(0, found.tokens - 1)] < span.end <= place]
        assert not found.tokens or ends or is_content(rendered.text, place), rendered.text[:place][-30:]
        assert found.unfinished == any(span.start < place < span.end for span in rendered.spans)


def test_an_answer_that_is_cut_is_not_ended(tiny_bpe: Any) -> None:
    """Its beginning is trained, nothing is taught to follow, and it is counted; one whose answer is whole is not."""
    chat = [{"role": "user", "content": "Sing"}, {"role": "assistant", "content": "whale tide moon"}]
    [all_of_it] = cut(tiny_bpe, [chat], 10**6)
    trained = [index for index, label in enumerate(all_of_it["labels"]) if label != -100]
    for most in range(1, all_of_it.length):
        [left] = cut(tiny_bpe, [chat], most)
        said = tiny_bpe.decode([label for label in left["labels"] if label != -100])
        assert "whale tide moon[[/]]".startswith(said)
        assert left.unfinished == (trained[0] < most <= trained[-1])
        assert "[[" not in said or said.endswith("[[/]]")


def test_whole_turns_are_left(tiny_bpe: Any) -> None:
    """As many as fit; the last of them is an answer."""
    generator = random.Random(4)
    for _ in range(20):
        chat = conversation(generator)
        text = TEMPLATE.render(chat, training=True).text
        [all_of_it] = cut(tiny_bpe, [chat], 10**6)
        most = generator.randint(2, all_of_it.length - 1)
        [left] = encode_conversations([{"messages": chat}], tiny_bpe, TEMPLATE, Spans(), most, turns=True)
        answers = [text[: span.end] for span in TEMPLATE.render(chat, training=True).spans]
        fitting = [answer for answer in answers if len(tiny_bpe(answer, add_special_tokens=False).input_ids) <= most]
        assert tiny_bpe.decode(left["input_ids"]) == (fitting[-1] if fitting else "")
        assert not left.unfinished


@pytest.mark.parametrize("longer", ["cut", "drop"])
def test_every_row_is_counted_once(tiny_bpe: Any, longer: Any) -> None:
    """Rows are examples or counted as left out; tokens, what is trained and the longest row are what they are."""
    generator = random.Random(2)
    chats = [conversation(generator) for _ in range(40)] + [[{"role": "user", "content": "only asked"}]]
    rows = [{"messages": chat} for chat in chats]
    lengths = [found.length for found in cut(tiny_bpe, chats, 10**6)]
    for most in (5, 60, 150, 10**6):
        with tallying() as tally:
            sequences = cut(tiny_bpe, chats, most if longer == "cut" else 10**6)
            kept = Fitting(most, longer, "mine", set()).kept(rows, [[found] for found in sequences])
        trained = [sequences[index] for index in kept]
        assert len(kept) + tally.lost == len(rows)
        assert tally.sizes.tokens == sum(len(found["input_ids"]) for found in trained)
        assert tally.sizes.trained == sum(label != -100 for found in trained for label in found["labels"][1:])
        assert tally.sizes.longest == max(lengths)
        assert tally.sizes.cut == sum(lengths[index] > most for index in kept)
        assert tally.sizes.removed == sum(lengths[index] for index in kept) - tally.sizes.tokens
        if longer == "drop":
            expected = [index for index in range(40) if lengths[index] <= most]
            assert kept == expected
