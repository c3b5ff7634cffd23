"""Tokens that an adapter was trained with and its base does not have, as the tokenizer beside the adapter has them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tunesmith import announce
from tunesmith.messages import logger

_FILE = "tokenizer.json"
_KINDS = ("special", "single_word", "lstrip", "rstrip", "normalized")


def add_tokens_of(folder: Path, tokenizer: Any) -> list[str]:
    """Give a base's tokenizer the tokens by which an adapter's own is larger, at the places that they have there.

    Args:
        folder: of the adapter; one without a tokenizer says nothing.
        tokenizer: of the base, in Rust; it is changed.

    Returns: the tokens.
    """
    if not (folder / _FILE).is_file():
        return []
    from tokenizers import AddedToken

    size = len(tokenizer)
    told = json.loads((folder / _FILE).read_text(encoding="utf-8")).get("added_tokens") or []
    more = sorted((entry for entry in told if entry["id"] >= size), key=lambda entry: int(entry["id"]))
    if not more:
        return []
    names = [str(entry["content"]) for entry in more]
    in_order = [entry["id"] for entry in more] == list(range(size, size + len(more)))
    if not in_order or any(name in tokenizer.get_vocab() for name in names):
        logger.warning("%s: its tokenizer is not the base's with more tokens; %d are not added", folder, len(more))
        return []
    for entry in more:  # one by one, for their order
        token = AddedToken(entry["content"], **{kind: entry[kind] for kind in _KINDS if kind in entry})
        if entry.get("special"):
            tokenizer.add_special_tokens({"extra_special_tokens": [token]}, replace_extra_special_tokens=False)
        else:
            tokenizer.add_tokens([token])
    announce("tokens", f"{len(names)} of the adapter's own: {', '.join(names[:5])}", str(folder))
    return names
