"""Tokens that stand beside an adapter and not in its base."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer
from tunesmith_library_adapting.vocabulary import add_tokens_of


@pytest.fixture
def base(tiny_llama: Path) -> Any:
    return AutoTokenizer.from_pretrained(tiny_llama)


def test_tokens_of_an_adapter_come_to_their_places(base: Any, tiny_llama: Path, tmp_path: Path) -> None:
    trained = AutoTokenizer.from_pretrained(tiny_llama)
    trained.add_tokens(["<|sea|>"], special_tokens=True)
    trained.add_tokens(["<wave>"])
    trained.save_pretrained(tmp_path)
    assert add_tokens_of(tmp_path, base) == ["<|sea|>", "<wave>"]
    assert "<|sea|>" in base.all_special_tokens and "<wave>" not in base.all_special_tokens
    ids = trained("a<wave><|sea|>b")["input_ids"]
    assert base("a<wave><|sea|>b")["input_ids"] == ids
    assert base.decode(ids, skip_special_tokens=True) == "a<wave>b"
    assert add_tokens_of(tmp_path, base) == [] and len(base) == len(trained)


def test_without_a_tokenizer_of_its_own_nothing_is_added(base: Any, tiny_llama: Path, tmp_path: Path) -> None:
    size = len(base)
    assert add_tokens_of(tmp_path, base) == [] and add_tokens_of(tiny_llama, base) == [] and len(base) == size


def test_the_tokenizer_of_another_base_is_said(
    base: Any, tiny_llama: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = AutoTokenizer.from_pretrained(tiny_llama)
    other.add_tokens(["<one>", "<two>", "<three>"])
    other.save_pretrained(tmp_path)
    base.add_tokens(["<two>"])
    size = len(base)
    assert add_tokens_of(tmp_path, base) == [] and len(base) == size
    assert "its tokenizer is not the base's with more tokens; 2 are not added" in caplog.text
