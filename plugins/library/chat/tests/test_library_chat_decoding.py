"""Tokens become text by the Rust object within a tokenizer, where that writes what the tokenizer writes."""

from __future__ import annotations

from typing import Any

from tunesmith_library_chat.decoding import decoder_of


def test_the_text_is_that_of_the_tokenizer(tiny_bpe: Any) -> None:
    decode = decoder_of(tiny_bpe)
    ids = tiny_bpe.encode("Grüße, 数字 <|im_end|> and more", add_special_tokens=False)
    for end in range(len(ids) + 1):
        assert decode(ids[:end]) == tiny_bpe.decode(ids[:end], skip_special_tokens=False)
    assert decode.func == tiny_bpe.backend_tokenizer.decode, "the quick way is taken"


def test_a_tokenizer_with_a_way_of_its_own_is_asked_itself(tiny_bpe: Any) -> None:
    class Shouting(type(tiny_bpe)):
        def decode(self, token_ids: Any, **how: Any) -> str:
            return str(super().decode(token_ids, **how)).upper()

    shouting = Shouting(tokenizer_object=tiny_bpe.backend_tokenizer)
    ids = tiny_bpe.encode("quiet", add_special_tokens=False)
    assert decoder_of(shouting)(ids) == "QUIET" and decoder_of(tiny_bpe)(ids) == "quiet"
