"""Requests: the prompt, what ends its answer, and how long that may be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tunesmith import DataError, TunesmithError
from tunesmith.types import Conversation, Sampling
from tunesmith_library_chat.showing import Item, check_readable
from tunesmith_library_testing.parts import CHAT, CHATML, TOOLS

CONVERSATION = Conversation(CHAT[:1])


def test_the_prompt_is_what_the_template_writes(tiny_bpe: Any) -> None:
    request = CHATML.request(tiny_bpe, CONVERSATION, Sampling(temperature=0.5, seed=3))
    assert tiny_bpe.decode(request.prompt) == CHATML.render(CHAT[:1], add_generation_prompt=True).text
    assert (request.sampling.temperature, request.sampling.seed) == (0.5, 3)
    assert request.sampling.max_new_tokens is None and not request.inputs


def test_tools_and_variables_reach_the_template(tiny_bpe: Any) -> None:
    template = replace(CHATML, jinja="{{ tools[0].function.name }}{{ mood }}")
    request = template.request(tiny_bpe, Conversation(CHAT[:1], TOOLS, {"mood": "calm"}), Sampling())
    assert tiny_bpe.decode(request.prompt) == "count_wavescalm"


def test_strings_of_one_token_end_the_answer_in_the_engine(tiny_bpe: Any) -> None:
    end, eos, start = tiny_bpe.convert_tokens_to_ids(["<|im_end|>", "</s>", "<|im_start|>"])
    request = CHATML.request(tiny_bpe, CONVERSATION, Sampling(stop_token_ids=(7,)), stop=("<|im_start|>", "two words"))
    assert set(request.sampling.stop_token_ids) == {7, end, eos, start}


@pytest.mark.parametrize(("room", "wanted", "limit"), [(5, 9, 5), (5, 3, 3), (5, None, None), (None, 9, 9)])
def test_the_answer_has_the_room_that_the_prompt_leaves(
    tiny_bpe: Any, room: int | None, wanted: int | None, limit: int | None
) -> None:
    length = len(CHATML.request(tiny_bpe, CONVERSATION, Sampling()).prompt)
    context = None if room is None else length + room
    request = CHATML.request(tiny_bpe, CONVERSATION, Sampling(max_new_tokens=wanted), context_length=context)
    assert request.sampling.max_new_tokens == limit


def test_a_conversation_that_fills_the_context_is_refused(tiny_bpe: Any) -> None:
    length = len(CHATML.request(tiny_bpe, CONVERSATION, Sampling()).prompt)
    with pytest.raises(TunesmithError, match=f"has {length} tokens; the model's context ends at {length}"):
        CHATML.request(tiny_bpe, CONVERSATION, Sampling(), context_length=length)


def test_images_are_refused(tiny_bpe: Any) -> None:
    """By a template that writes text alone, by a model that takes no other, and as paths: a stranger may name any."""
    parts = replace(CHATML, jinja="{% for part in messages[0].content %}{{ part.type }}{% endfor %}")
    for template, part, said in (
        (CHATML, {"type": "image", "image": b""}, "writes text only"),
        (parts, {"type": "image", "image": b""}, "takes text alone"),
        (parts, {"type": "video", "video": b""}, "takes text alone, and no videos"),
        (parts, {"type": "scent", "scent": b""}, "only text, images, videos and sounds can be answered, not scent"),
    ):
        with pytest.raises(DataError, match=said):
            template.request(tiny_bpe, Conversation([{"role": "user", "content": [part]}]), Sampling())
    with pytest.raises(DataError, match="the bytes of its file, not as str"):
        check_readable(Item("image", "/etc/passwd"))


def test_a_template_that_writes_nothing(tiny_bpe: Any) -> None:
    with pytest.raises(DataError, match="renders this conversation to no text at all"):
        replace(CHATML, jinja="").request(tiny_bpe, CONVERSATION, Sampling())
