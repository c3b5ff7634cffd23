"""Remembered words of real tokenizers, on real data: ids and offsets are the tokenizer's own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tunesmith_library_chat.words import words_of

pytestmark = [pytest.mark.real, pytest.mark.slow]
ROUND = {
    "llama3": "<|start_header_id|>user<|end_header_id|>\n\n{}<|eot_id|>",
    "qwen": "<|im_start|>user\n{}<|im_end|>\n",
}


def texts(folder: Path) -> Iterator[str]:
    for name in ("alpaca_en_demo.json", "alpaca_zh_demo.json", "identity.json", "glaive_toolcall_en_demo.json"):
        yield from (json.dumps(row, ensure_ascii=False) for row in json.loads((folder / name).read_text("utf-8")))
    yield from (folder / "wiki_demo.txt").read_text("utf-8").splitlines()[:15]
    yield from (json.loads(line)["text"] for line in (folder / "c4_demo.jsonl").read_text("utf-8").splitlines())
    yield from (file.read_text("utf-8") for file in sorted(Path(__file__).parent.glob("*.py"))[:40])


@pytest.mark.parametrize("name", sorted(ROUND))
def test_real_tokenizers(name: str, real_files: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(real_files / "tokenizers" / name)
    words = words_of(tokenizer)
    assert words is not None
    given = [ROUND[name].replace("{}", text) for text in texts(real_files / "data")]
    taken = 0
    for start in range(0, len(given), 250):
        some = given[start : start + 250]
        theirs = tokenizer(some, add_special_tokens=False).encodings
        for text, wanted, found in zip(some, theirs, words.encode(some, False), strict=True):
            if found is None:
                continue
            taken += 1
            assert found.ids == wanted.ids
            places = range(0, min(len(text), 4000), 97)
            assert [found.char_to_token(at) for at in places] == [wanted.char_to_token(at) for at in places]
            tokens = range(0, min(len(found), 1000), 53)
            assert [found.token_to_chars(at) for at in tokens] == [wanted.token_to_chars(at) for at in tokens]
    assert taken > 0.5 * len(given)


@pytest.mark.parametrize("name", ["llama2", "mistral"])
def test_tokenizers_of_whole_texts_tokenise_them_themselves(name: str, real_files: Path) -> None:
    from transformers import AutoTokenizer

    assert words_of(AutoTokenizer.from_pretrained(real_files / "tokenizers" / name)) is None
