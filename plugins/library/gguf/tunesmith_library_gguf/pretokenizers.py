"""Which of llama.cpp's ways of cutting text into words a tokenizer has, before it merges bytes.

A GGUF file names the way, and llama.cpp has its own code for each. It is found by what llama.cpp's converter goes by,
the tokens of one fixed text, and, since a vocabulary of one's own has others, by the rule in tokenizer.json.
"""

from __future__ import annotations

import difflib
import functools
import json
from collections.abc import Iterator, Mapping
from hashlib import sha256
from importlib.resources import files
from typing import Any

from tunesmith import TunesmithError
from tunesmith.errors import choices

_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_LLAMA3 = rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}|{_REST}"
_QWEN2 = rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}|{_REST}"
_QWEN35 = (
    rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_WORDS = "bytes"  # GPT-2's rule, which tokenizers has inside
# What cuts the text, one after the other, and whether whole words of the vocabulary are taken before merging.
_RULES: dict[tuple[tuple[str, ...], bool], str] = {
    ((_WORDS,), False): "gpt-2",
    (("digits", _WORDS), False): "starcoder",
    ((_LLAMA3,), True): "llama-bpe",
    ((_LLAMA3,), False): "smaug-bpe",
    ((_QWEN2,), False): "qwen2",
    ((_QWEN35,), False): "qwen35",
}


@functools.cache
def _known() -> dict[str, Any]:
    """llama.cpp's names, its fixed text, and the hashes of that text's tokens."""
    found: dict[str, Any] = json.loads(files(__package__).joinpath("pretokenizers.json").read_text("utf-8"))
    return found


def pre_tokenizers() -> list[str]:
    """llama.cpp's names of all ways that it knows."""
    return list(_known()["kinds"])


def pre_tokenizer_of(tokenizer: Any, said: Mapping[str, Any], asked: str | None = None) -> str:
    """The way of a byte-level tokenizer.

    Args:
        tokenizer: of the library tokenizers.
        said: what its tokenizer.json holds.
        asked: what the user says it is.

    Raises: TunesmithError when llama.cpp does not know it, or the name.
    """
    if asked is not None:
        if asked not in pre_tokenizers():
            raise TunesmithError(
                f"pre_tokenizer={asked} is none that llama.cpp knows.\n  {choices(asked, pre_tokenizers(), 'it knows')}"
            )
        return asked
    ids = tokenizer.encode(_known()["text"]).ids
    by_tokens = _known()["hashes"].get(sha256(str(ids).encode()).hexdigest())
    rule = tuple(_rule(said.get("pre_tokenizer") or {}))
    found = by_tokens or _RULES.get((rule, bool((said.get("model") or {}).get("ignore_merges"))))
    if found is None:
        raise TunesmithError(
            "llama.cpp does not know how this tokenizer cuts text into words before it merges bytes:\n"
            f"  {' then '.join(rule) or 'not at all'}\n"
            f"  nearest is {_nearest(rule)}; exporter.gguf.pre_tokenizer={_nearest(rule)} takes it, and the gate "
            "compares the tokens of the run's conversations"
        )
    return str(found)


def _rule(part: Mapping[str, Any]) -> Iterator[str]:
    """What cuts the text, in its order; what only writes bytes as letters cuts nothing."""
    kind = part.get("type")
    if kind == "Sequence":
        for inner in part.get("pretokenizers", ()):
            yield from _rule(inner)
    elif kind == "Split":
        pattern = part.get("pattern") or {}
        plain = part.get("behavior") == "Isolated" and not part.get("invert")
        text = str(pattern.get("Regex", pattern.get("String", "")))
        yield text if plain else f"{text} ({part.get('behavior')})"
    elif kind == "ByteLevel":
        if part.get("add_prefix_space"):
            yield "a space before the text"
        if part.get("use_regex", True):
            yield _WORDS
    elif kind == "Digits":
        yield "digits" if part.get("individual_digits") else "numbers"
    elif kind is not None:
        yield str(kind)


def _nearest(rule: tuple[str, ...]) -> str:
    written = {" then ".join(cut): name for (cut, _), name in _RULES.items()}
    near = difflib.get_close_matches(" then ".join(rule), written, n=1, cutoff=0.0)
    return written[near[0]] if near else "gpt-2"
