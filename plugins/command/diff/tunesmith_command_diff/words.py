"""How two models read and write text: tokenizers and chat templates."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tunesmith import TunesmithError
from tunesmith.types import ModelHandle
from tunesmith_library_chat import tokenizer_of
from tunesmith_library_proving.texts import Text
from tunesmith_library_proving.wording import special_tokens

from tunesmith_command_diff.findings import Part, some
from tunesmith_command_diff.samples import SAMPLES

MESSAGES = (
    "{name} is {one} in B, {other} in A",
    "the token {token} has the id {one} in B, {other} in A",
    "the tokenizer has {one} tokens in B, {other} in A",
    "the tokenizer's {name} is another than in A",
)
"""What `special_tokens` says, of B and A in place of the written and the trained."""


def tokenizers(first: ModelHandle, second: ModelHandle, texts: Sequence[Text]) -> Part:
    """Compare what two tokenizers are made of, and the tokens that they make of texts."""
    ours, theirs = tokenizer_of(first.processor), tokenizer_of(second.processor)
    lines = [*_vocabulary(ours.get_vocab(), theirs.get_vocab())]
    lines += [line.replace(", and ", " in B, ").replace("in training", "in A") for line in special_tokens(theirs, ours)]
    lines += [*_flags(ours, theirs), *_machinery(ours, theirs)]
    samples = [*(text.text for text in texts), *SAMPLES]
    count, differing = len(samples), _read_apart(ours, theirs, samples)
    if differing:
        lines.append(f"of {count} texts {len(differing)} get other tokens, such as {_first(differing)}")
    lines = list(dict.fromkeys(lines))
    facts = {"differences": lines, "texts": count, "texts_that_differ": len(differing)}
    summary = f"{len(lines)} differences" if lines else f"equal, {len(ours)} tokens, {count} texts"
    return Part("tokenizer", not lines, summary, lines, facts)


def _read_apart(ours: Any, theirs: Any, samples: Sequence[str]) -> list[str]:
    """The texts of which two tokenizers make other tokens, with special tokens or without."""
    found = [sample for sample in samples for special in (False, True) if _other(ours, theirs, sample, special)]
    return list(dict.fromkeys(found))


def _first(texts: Sequence[str]) -> str:
    """How the first of some texts begins."""
    return repr(texts[0][:40])


def _other(ours: Any, theirs: Any, text: str, special: bool) -> bool:
    one, two = (tokenizer.encode(text, add_special_tokens=special) for tokenizer in (ours, theirs))
    return bool(one != two or ours.decode(one) != theirs.decode(two))


def _vocabulary(ours: Mapping[str, int], theirs: Mapping[str, int]) -> Iterator[str]:
    for who, lost in (("A", ours.keys() - theirs.keys()), ("B", theirs.keys() - ours.keys())):
        if lost:
            yield f"only {who} has {len(lost)} tokens: {some([repr(token) for token in sorted(lost)])}"
    moved = [token for token in sorted(ours.keys() & theirs.keys()) if ours[token] != theirs[token]]
    if moved:
        token = moved[0]
        yield f"{len(moved)} tokens have another id, such as {token!r}: {ours[token]} in A, {theirs[token]} in B"


def _flags(ours: Any, theirs: Any) -> Iterator[str]:
    """Added tokens of the same text that are looked for in another way."""
    one, two = ({str(token): token for token in each.added_tokens_decoder.values()} for each in (ours, theirs))
    for name in sorted(one.keys() & two.keys()):
        for flag in ("special", "lstrip", "rstrip", "single_word", "normalized"):
            a, b = getattr(one[name], flag), getattr(two[name], flag)
            if a != b:
                yield f"the token {name!r}: {flag} is {a} in A, {b} in B"


def _machinery(ours: Any, theirs: Any) -> Iterator[str]:
    """Parts of tokenizers in Rust; of one that is not, the texts tell."""
    backends: list[Any] = [getattr(each, "backend_tokenizer", None) for each in (ours, theirs)]
    if None in backends:
        if type(ours) is not type(theirs):
            yield f"the tokenizer is a {type(ours).__name__} in A, a {type(theirs).__name__} in B"
        return
    one, two = (json.loads(backend.to_str()) for backend in backends)
    merges, others = (
        [tuple(m) if isinstance(m, list) else m for m in x["model"].get("merges", [])] for x in (one, two)
    )
    if merges != others:
        at = next((at for at, (a, b) in enumerate(zip(merges, others, strict=False)) if a != b), None)
        at = min(len(merges), len(others)) if at is None else at
        yield f"merges: {len(merges)} in A, {len(others)} in B; the first that differs is number {at}"
    rest = [{k: v for k, v in x["model"].items() if k not in ("merges", "vocab")} for x in (one, two)]
    yield from (
        f"the model's {key} is {rest[0].get(key)!r} in A, {rest[1].get(key)!r} in B"
        for key in sorted({*rest[0], *rest[1]})
        if rest[0].get(key) != rest[1].get(key)
    )


def templates(first: ModelHandle, second: ModelHandle, texts: Sequence[Text]) -> Part:
    """Compare two chat templates: their text, what ends an answer, and conversations as they write them."""
    ours, theirs = first.template, second.template
    lines = []
    if ours.exported != theirs.exported:
        changed = [*difflib.unified_diff(ours.exported.splitlines(), theirs.exported.splitlines(), lineterm="", n=0)]
        lines += ["the text differs:", *(f"  {line}" for line in changed[3:9])]
    if set(ours.stop) != set(theirs.stop):
        lines += [
            f"an answer ends with {' or '.join(map(repr, ours.stop))} in A, {' or '.join(map(repr, theirs.stop))} in B"
        ]
    written = [(text, prompt) for text in texts if text.messages for prompt in (False, True)]
    apart = [(a, b) for a, b in (_rendered(each, first, second) for each in written) if a != b]
    if apart:
        lines += [f"{len(apart)} of {len(written)} renderings differ, first at:"]
        lines += [f"  {who}: {_around(*pair)}" for who, pair in (("A", apart[0]), ("B", apart[0][::-1]))]
    facts = {
        "text_equal": ours.exported == theirs.exported,
        "renderings": len(written),
        "renderings_that_differ": len(apart),
    }
    summary = (
        "equal" if not lines else "differs" if apart else f"other words, but all {len(written)} renderings are equal"
    )
    return Part("template", not lines, summary, lines, facts)


def _rendered(each: tuple[Text, bool], first: ModelHandle, second: ModelHandle) -> tuple[str, str]:
    text, prompt = each
    return _render(first, text, prompt), _render(second, text, prompt)


def _render(handle: ModelHandle, text: Text, prompt: bool) -> str:
    turns = [dict(turn) for turn in text.messages]
    if prompt:
        turns = turns[: next(at for at, turn in enumerate(turns) if turn["role"] == "user") + 1]
    try:
        return str(handle.template.render(turns, list(text.tools) or None, add_generation_prompt=prompt).text)
    except TunesmithError as error:
        return f"(refused: {error})"


def _around(text: str, other: str) -> str:
    at = next((at for at, (a, b) in enumerate(zip(text, other, strict=False)) if a != b), min(len(text), len(other)))
    return repr(text[max(at - 20, 0) : at + 30])
