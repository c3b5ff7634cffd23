"""The vocabulary of a file: tokens, their types and scores, merges, and which of them are special.

Two of llama.cpp's tokenizers are written: `gpt2`, which merges bytes, and `llama`, SentencePiece's, which merges
characters by the score of what comes out. Both are what a tokenizer.json of type BPE does.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
from tokenizers import Tokenizer
from tunesmith import TunesmithError
from tunesmith.messages import logger
from tunesmith_library_publishing.inventory import read_json

from tunesmith_library_gguf.parameters import Value
from tunesmith_library_gguf.pieces import Piece, pieces_of
from tunesmith_library_gguf.pretokenizers import pre_tokenizer_of

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
"""llama.cpp's types of tokens."""

_SPACE = "\u2581"  # SentencePiece's
_ADDED_SCORE, _NO_SCORE = -1000.0, -10000.0


def vocabulary(folder: Path, size: int, pre_tokenizer: str | None = None) -> dict[str, Value]:
    """The metadata of a file that makes tokens of text, and text of tokens.

    Args:
        folder: of the model, with its tokenizer.
        size: the rows of its embeddings; rows without tokens become unused ones.
        pre_tokenizer: llama.cpp's name of how the text is cut; None finds it.

    Raises: TunesmithError for a tokenizer that llama.cpp does not have, or that has more tokens than there are rows.
    """
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise TunesmithError(f"{folder} has no tokenizer.json, which llama.cpp's vocabulary is made of")
    said = json.loads(file.read_text(encoding="utf-8"))
    model = said.get("model") or {}
    if model.get("type", "BPE") != "BPE":
        raise TunesmithError(f"the tokenizer is of type {model.get('type')}, and llama.cpp has BPE and SentencePiece")
    largest = max([*model["vocab"].values(), *(int(token["id"]) for token in said.get("added_tokens") or ())])
    if largest >= size:
        raise TunesmithError(f"the tokenizer's token {largest} has no row in the embeddings, which have {size}")
    bytewise = not model.get("byte_fallback")
    found = _bytes(file, said, size, pre_tokenizer) if bytewise else _characters(folder, said, size)
    return {f"tokenizer.ggml.{name}": value for name, value in found.items()} | _special(folder, size, bytewise)


def _bytes(file: Path, said: Mapping[str, Any], size: int, pre_tokenizer: str | None) -> dict[str, Value]:
    """Of a tokenizer that merges bytes."""
    names = {index: token for token, index in said["model"]["vocab"].items()}
    types = dict.fromkeys(names, NORMAL)
    for index, token, kind in _added(said):
        names[index], types[index] = token, kind
    return {
        "model": "gpt2",
        "pre": pre_tokenizer_of(Tokenizer.from_file(str(file)), said, pre_tokenizer),
        "tokens": [names.get(index, f"[PAD{index}]") for index in range(size)],
        "token_type": [types.get(index, UNUSED) for index in range(size)],
        "merges": [" ".join(part.replace(" ", "\u0120") for part in pair) for pair in _merges(said)],
    }


def _characters(folder: Path, said: Mapping[str, Any], size: int) -> dict[str, Value]:
    """Of a tokenizer that merges characters, as SentencePiece does: what comes out of an earlier merge scores more."""
    pieces = dict(_published(folder / "tokenizer.model", said)) or dict(_pieces(said))
    for index, token, kind in _added(said):
        pieces[index] = Piece(token, _ADDED_SCORE, kind)
    held = [pieces.get(index, Piece(f"[PAD{index}]", _NO_SCORE, UNUSED)) for index in range(size)]
    return {
        "model": "llama",
        "pre": "default",
        "tokens": [piece.text for piece in held],
        "scores": [piece.score for piece in held],
        "token_type": [piece.kind for piece in held],
        "add_space_prefix": _prefixed(said),
    }


def _published(file: Path, said: Mapping[str, Any]) -> Iterator[tuple[int, Piece]]:
    """The pieces of the tokenizer.model beside a tokenizer.json, if it is the model of the same vocabulary."""
    pieces = pieces_of(file) if file.is_file() else []
    names = {index: token for token, index in said["model"]["vocab"].items()}
    if all(names.get(index) == piece.text for index, piece in enumerate(pieces)):
        # what a user defined is found beforehand where tokenizer.json says so, and is a piece like others elsewhere
        yield from (
            (at, replace(piece, kind=NORMAL) if piece.kind == USER_DEFINED else piece)
            for at, piece in enumerate(pieces)
        )


def _pieces(said: Mapping[str, Any]) -> Iterator[tuple[int, Piece]]:
    """The pieces of a tokenizer.json that no tokenizer.model stands beside."""
    vocabulary = said["model"]["vocab"]
    ranks: dict[str, int] = {}
    for rank, pair in enumerate(_merges(said)):
        ranks.setdefault("".join(pair), rank)
    unknown = said["model"].get("unk_token") or "<unk>"
    for token, index in vocabulary.items():
        if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
            yield index, Piece(token, 0.0, BYTE)
        elif token == unknown:
            yield index, Piece(token, 0.0, UNKNOWN)
        else:
            yield index, Piece(token, -float(ranks.get(token, len(ranks))), NORMAL)


def _merges(said: Mapping[str, Any]) -> list[list[str]]:
    """The merges as pairs, which older files write with a space between them."""
    return [pair.split(" ") if isinstance(pair, str) else pair for pair in said["model"].get("merges") or ()]


def _added(said: Mapping[str, Any]) -> Iterator[tuple[int, str, int]]:
    """The tokens that are found in a text before anything is merged."""
    for token in said.get("added_tokens") or ():
        text = str(token["content"])
        if token.get("special") or _looks_special(text):
            yield int(token["id"]), text, CONTROL
        else:
            yield int(token["id"]), text.replace(_SPACE, " "), USER_DEFINED


def _looks_special(text: str) -> bool:
    """Whether a token is one that no text has, though it is not marked so: as llama.cpp's converter takes it."""
    around = (("<|", "|>"), ("<\uff5c", "\uff5c>"), ("<unused", ">"))
    if text in ("<pad>", "<mask>", "<2mass>", "[@BOS@]"):
        return True
    return any(text.startswith(first) and text.endswith(last) for first, last in around)


def _prefixed(said: Mapping[str, Any]) -> bool:
    """Whether a space is put before a text, and after each special token in it, which is all that llama.cpp can do.

    One before the beginning alone is not put before a conversation, which begins with a special token.
    """
    return any(
        part.get("prepend_scheme") == "always" or (part.get("type") == "Prepend" and part.get("prepend") == _SPACE)
        for part in _parts(said.get("normalizer"), said.get("pre_tokenizer"))
    )


def unnormalised(folder: Path) -> str | None:
    """What is done to a text in training before it is cut, and not in llama.cpp, which merges bytes as they are."""
    said = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    kinds = [str(part.get("type")) for part in _parts(said.get("normalizer")) if part.get("type") != "Sequence"]
    if not kinds or (said.get("model") or {}).get("byte_fallback"):
        return None
    return f"text is taken as it is written; the tokenizer normalises it first ({', '.join(kinds)})"


def _parts(*given: Mapping[str, Any] | None) -> Iterator[Mapping[str, Any]]:
    for part in given:
        if part:
            yield part
            yield from _parts(*(part.get("normalizers") or part.get("pretokenizers") or ()))


def _special(folder: Path, size: int, merges: bool) -> dict[str, Value]:
    """Ids of special tokens, which of them are put around a text, and the chat template."""
    logging.getLogger("gguf.vocab").setLevel(logging.ERROR)
    found = gguf.SpecialVocab(folder, load_merges=False, n_vocab=size)
    names = {"unk": "unknown", "sep": "seperator", "pad": "padding"}  # as llama.cpp spells them
    ids = {f"{names.get(kind, kind)}_token_id": token for kind, token in found.special_token_ids.items()}
    ids |= dict(_further_ends(folder, found.special_token_ids.get("eos")))
    around = {f"add_{kind}_token": added for kind, added in {"bos": False, **found.add_special_token}.items()}
    said: dict[str, Value] = {f"tokenizer.ggml.{name}": value for name, value in {**ids, **around}.items()}
    if isinstance(found.chat_template, str):
        said["tokenizer.chat_template"] = found.chat_template
    return said


def _further_ends(folder: Path, eos: int | None) -> Iterator[tuple[str, int]]:
    """Tokens beside the end of a text that end an answer: of a turn, and of a message."""
    ends = read_json(folder / "generation_config.json").get("eos_token_id")
    others = [end for end in (ends if isinstance(ends, list) else [ends]) if end is not None and end != eos]
    yield from zip(("eot_token_id", "eom_token_id"), others, strict=False)
    if len(others) > 2:
        logger.warning(
            "GGUF: %d further tokens end an answer in training and not in the file: %s", len(others) - 2, others[2:]
        )
