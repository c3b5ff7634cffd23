"""The tokens that end an answer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from tunesmith_library_chat import ChatTemplate
from tunesmith_library_chat.endings import end_tokens

CHATML = ChatTemplate("chatml", "", ("<|im_end|>",))


def test_end_of_text_and_of_turn(tiny_bpe: Any) -> None:
    eos, end = tiny_bpe.convert_tokens_to_ids(["</s>", "<|im_end|>"])
    assert end_tokens(CHATML, tiny_bpe) == sorted([eos, end])
    assert end_tokens(None, tiny_bpe) == [eos]


@pytest.mark.parametrize("own, more", [(None, []), (7, [7]), ([7, 9], [7, 9]), ((9, 7), [7, 9])])
def test_what_the_model_was_published_with_counts_too(tiny_bpe: Any, own: Any, more: list[int]) -> None:
    found = end_tokens(CHATML, tiny_bpe, SimpleNamespace(eos_token_id=own))
    assert found == sorted({*end_tokens(CHATML, tiny_bpe), *more})


def test_strings_that_were_asked_for_count_where_they_are_one_token(tiny_bpe: Any) -> None:
    start = tiny_bpe.convert_tokens_to_ids("<|im_start|>")
    assert len(tiny_bpe.encode("###", add_special_tokens=False)) > 1
    found = end_tokens(CHATML, tiny_bpe, stop=("<|im_start|>", "###"))
    assert found == sorted([*end_tokens(CHATML, tiny_bpe), start])


def test_a_tokenizer_without_end_of_text() -> None:
    tokenizer = SimpleNamespace(eos_token_id=None, encode=lambda text, add_special_tokens: [1, 2])
    assert end_tokens(CHATML, tokenizer) == []
