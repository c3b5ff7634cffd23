"""Tokens that are put together from remembered words are those of the tokenizer, offsets included."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tunesmith_library_chat import tokenize, tokenizing, written
from tunesmith_library_chat.spelling import NOTHING
from tunesmith_library_chat.word_encoding import WordEncoding
from tunesmith_library_chat.words import words_of

transformers = pytest.importorskip("transformers")

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
PIECES = (
    *(
        "Hello",
        " world",
        "It's",
        " I'LL",
        "'\u017f",
        "don't",
        " 12345",
        "٣٤",
        "½",
        "\n",
        "\n\n",
        " ",
        "   ",
        "\t",
        "\r\n",
    ),
    *(
        "中文",
        "，",
        "テスト",
        " 한국어",
        "é",
        "e\u0301",
        "\u0301",
        "ﬁ",
        "\u212b",
        "😀",
        "👨\u200d👩",
        "\u00a0",
        "\u3000",
        "\u2028",
    ),
    *(
        "\x1c",
        "\x85",
        "\x00",
        "\u180e",
        "\u200b",
        "\ufeff",
        "\ue000",
        "\U000e0041",
        "\u0378",
        "<|a|>",
        "<|a|",
        "<b>",
        "<b>c",
    ),
    *("!!", " ?!\n", "x" * 90, "ﾊﾟ", "Ⅷ", "\u0e01\u0e33", "İ", "ǅ", "_", "a/b\n", "//"),
)


def made(pattern: str | None, normalizer: Any = None, post: Any = None, **flags: bool) -> Any:
    """A byte-level BPE tokenizer with two added tokens, the second of which has the flags."""
    backend = Tokenizer(models.BPE())
    bytes_only = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pattern is None)
    split = [] if pattern is None else [pre_tokenizers.Split(Regex(pattern), "isolated")]
    backend.pre_tokenizer = pre_tokenizers.Sequence([*split, bytes_only]) if split else bytes_only
    backend.decoder = decoders.ByteLevel()
    from tokenizers.trainers import BpeTrainer

    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = BpeTrainer(vocab_size=420, initial_alphabet=alphabet, show_progress=False)
    backend.train_from_iterator(["".join(PIECES), "Hello world, don't say 12345 中文 " * 3], trainer)
    added = [AddedToken("<|a|>", special=True, normalized=False), AddedToken("<b>", **{"normalized": False, **flags})]
    backend.add_tokens(added)
    if normalizer is not None:
        backend.normalizer = normalizer
    if post is not None:
        backend.post_processor = post
    return transformers.PreTrainedTokenizerFast(tokenizer_object=backend)


def texts(count: int) -> list[str]:
    draw = random.Random(0)
    return ["".join(draw.choices(PIECES, k=draw.randint(0, 12))) for _ in range(count)]


TAKEN = {
    "gpt2": lambda: made(None),
    "llama3": lambda: made(LLAMA3),
    "o200k": lambda: made(O200K),
    "qwen": lambda: made(LLAMA3.replace("{1,3}", ""), normalizers.NFC()),
    "keeps spaces": lambda: made(LLAMA3, post=processors.ByteLevel(trim_offsets=False)),
    "a token strips": lambda: made(LLAMA3, lstrip=True, rstrip=True),
    "a token is a word": lambda: made(LLAMA3, single_word=True),
    "begins": lambda: made(
        LLAMA3, post=processors.TemplateProcessing(single="<|a|> $A", special_tokens=[("<|a|>", 420)])
    ),
}


@pytest.mark.parametrize("name", TAKEN)
def test_tokens_and_offsets_are_the_tokenizers(name: str) -> None:
    tokenizer = TAKEN[name]()
    words = words_of(tokenizer)
    assert words is not None and words_of(tokenizer) is words
    given = texts(150)
    taken = 0
    for special in (False, True):
        wanted = tokenizer(given, add_special_tokens=special).encodings
        for text, theirs, ours in zip(given, wanted, words.encode(given, special), strict=True):
            if ours is None:
                continue
            taken += 1
            assert ours.ids == theirs.ids and len(ours) == len(theirs), text
            places = range(len(text) + 1)
            assert [ours.char_to_token(at) for at in places] == [theirs.char_to_token(at) for at in places], text
            around = 0 if not special or name != "begins" else 1
            tokens = range(around, len(ours))
            assert [ours.token_to_chars(at) for at in tokens] == [theirs.token_to_chars(at) for at in tokens], text
    assert taken > 100


LEFT = {
    "spaces are not of tokens": lambda: made(None, post=processors.ByteLevel(trim_offsets=True)),
    "lower case": lambda: made(LLAMA3, normalizers.Lowercase()),
    "NFKC": lambda: made(LLAMA3, normalizers.NFKC()),
    "a space before": lambda: made(r"\s+|\S+", normalizers.Prepend("▁")),
    "nested classes": lambda: made(r"[[:alpha:]]+|[^a]|a"),
    "intersections": lambda: made(r"[\w&&[^0-9]]+|\S|\s+"),
    "an end that depends on what was": lambda: made(r"\G\S+|\s+|\S"),
}


@pytest.mark.parametrize("name", LEFT)
def test_other_tokenizers_are_asked_themselves(name: str) -> None:
    tokenizer = LEFT[name]()
    assert words_of(tokenizer) is None
    given = texts(40)
    found = tokenize(tokenizer, [written(text, NOTHING) for text in given], control=NOTHING)
    assert [encoding.ids for encoding in found] == tokenizer(given)["input_ids"]


def test_random_merges_are_left_to_the_tokenizer() -> None:
    tokenizer = made(LLAMA3)
    tokenizer.backend_tokenizer.model = models.BPE(
        {byte: number for number, byte in enumerate(pre_tokenizers.ByteLevel.alphabet())}, [], dropout=0.5
    )
    assert words_of(tokenizer) is None


def test_a_tokenizer_that_was_changed_is_proven_again() -> None:
    tokenizer = made(LLAMA3)
    given = ["a <|new|> token", *texts(40)]
    assert len(words_of(tokenizer).encode(given, False)[0].ids) > 4  # type: ignore[union-attr]
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|new|>"]})
    found = tokenize(tokenizer, [written(text, NOTHING) for text in given], control=NOTHING)
    assert [encoding.ids for encoding in found] == tokenizer(given)["input_ids"]
    assert tokenizer.convert_tokens_to_ids("<|new|>") in found[0].ids


def test_memory_is_bounded_and_words_that_do_not_return_are_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = made(LLAMA3)
    words = words_of(tokenizer)
    assert words is not None
    monkeypatch.setattr("tunesmith_library_chat.words._MOST_WORDS", 300)
    for start in range(0, 1500, 100):
        letters = (chr(97 + number % 26) + chr(97 + number // 26) for number in range(start // 3, start // 3 + 100))
        given = [f"w{pair} {start}" for pair in letters]
        assert [found.ids for found in words.encode(given, False)] == tokenizer(given)["input_ids"]  # type: ignore[union-attr]
        assert len(words._words) <= 300 and len(words._parts) <= 300
    clauses = [chr(0x4E00 + number) * 30 for number in range(2000)]
    given = ["，".join(clauses[start : start + 20]) for start in range(0, 2000, 20)]
    assert words.encode(given, False) == [None] * 100
    assert words.encode(["x" * 1000], False)[0].ids == tokenizer("x" * 1000)["input_ids"]  # type: ignore[union-attr]
    assert max(map(len, words._words), default=0) < 100


def test_few_texts_are_tokenised_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = made(LLAMA3)
    monkeypatch.setattr(tokenizing, "words_of", lambda _: pytest.fail("it looks at the tokenizer"))
    found = tokenize(tokenizer, [written("a", NOTHING)] * 31, control=NOTHING)
    assert [encoding.ids for encoding in found] == [tokenizer("a")["input_ids"]] * 31


def test_words_are_looked_for_once_and_no_further_than_asked_for() -> None:
    looked = []

    def words_of(part: str) -> Iterator[tuple[int, int, list[tuple[int, int]]]]:
        for place in range(len(part)):
            looked.append(place)
            yield place, place, [(0, 1)]

    encoding = WordEncoding(words_of, ["abcdefgh"], [bytes(4 * 8)])
    assert [encoding.char_to_token(place) for place in (2, 1, 2, 3)] == [2, 1, 2, 3]
    assert looked == [0, 1, 2, 3]
    assert encoding.token_to_chars(5) == (5, 6) and looked == [0, 1, 2, 3, 4, 5]
