"""Whether an artefact reads and writes conversations as they were trained: its text, its tokens, its special tokens."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tunesmith.types import ModelHandle
from tunesmith_library_chat import tokenizer_of

from tunesmith_library_proving.readers import Reader
from tunesmith_library_proving.texts import Text

_SPECIAL = ("bos_token", "eos_token", "unk_token", "pad_token")
_AROUND = 20  # characters that are shown before and after the first one that differs


def conversations(reader: Reader, texts: Sequence[Text], tokenizer: Any) -> Iterator[str]:
    """How an artefact's texts and tokens differ from the trained ones; of each kind the first.

    Args:
        tokenizer: the trained one.
    """
    for text in texts:
        for prompt, trained in ((False, text.text), (True, text.prompt)):
            written = reader.text(text, prompt) if text.messages else None
            if written is not None and written != trained:
                yield f"the template writes {_around(written, trained)}, the trained one {_around(trained, written)}"
                return
    for text in texts:
        ids = reader.tokens(text.text)
        if ids is not None and tuple(ids) != text.ids:
            at = next((at for at, (a, b) in enumerate(zip(ids, text.ids, strict=False)) if a != b), len(text.ids))
            theirs, ours = (_token(tokenizer, found[at : at + 1]) for found in (ids, text.ids))
            yield f"token {at} of a conversation is {theirs}, and {ours} in training"
            return


def special_tokens(written: Any, trained: Any) -> Iterator[str]:
    """How the special tokens of two tokenizers differ, by name."""
    for name in _SPECIAL:
        one, other = getattr(written, name, None), getattr(trained, name, None)
        if one != other:
            yield f"{name} is {one!r}, and {other!r} in training"
    added, known = dict(written.get_added_vocab()), dict(trained.get_added_vocab())
    for token in known.keys() | added.keys():
        if added.get(token) != known.get(token):
            yield f"the token {token!r} has the id {added.get(token)}, and {known.get(token)} in training"
    if len(written) != len(trained):
        yield f"the tokenizer has {len(written)} tokens, and {len(trained)} in training"
    one, other = _parts(written), _parts(trained)
    yield from (f"the tokenizer's {name} is another than in training" for name in one if one[name] != other.get(name))


def _parts(tokenizer: Any) -> dict[str, Any]:
    """What makes tokens of a text, part by part; {} of a tokenizer that is not in Rust."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    said = {} if backend is None else json.loads(backend.to_str())
    return {name: said.get(name) for name in ("normalizer", "pre_tokenizer", "model", "post_processor", "decoder")}


def endings(folder: Path, handle: ModelHandle) -> Iterator[str]:
    """What does not end an answer in generation_config.json, and ended it in training."""
    file = folder / "generation_config.json"
    said = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    ends = said.get("eos_token_id")
    ends = set(ends if isinstance(ends, list) else [ends])
    tokenizer = tokenizer_of(handle.processor)
    wanted = {tokenizer.eos_token: tokenizer.eos_token_id}
    for string in handle.template.stop:
        ids = tokenizer.encode(string, add_special_tokens=False)
        wanted |= {string: ids[0]} if len(ids) == 1 else {}
    for string, token in wanted.items():
        if token is not None and token not in ends:
            yield f"{string!r} (token {token}) ends no answer in generation_config.json"


def _token(tokenizer: Any, ids: Sequence[int]) -> str:
    return f"{ids[0]} ({tokenizer.convert_ids_to_tokens(ids[0])!r})" if ids else "missing"


def _around(text: str, other: str) -> str:
    """A text around the first character that another has otherwise."""
    at = next((at for at, (a, b) in enumerate(zip(text, other, strict=False)) if a != b), min(len(text), len(other)))
    return repr(text[max(at - _AROUND, 0) : at + _AROUND])
