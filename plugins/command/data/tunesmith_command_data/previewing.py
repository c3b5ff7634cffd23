"""What a run would train on, as data: texts with their trained tokens, lengths, what became of rows, what is wrong."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tunesmith import DataError, TunesmithError
from tunesmith.assemble import assemble
from tunesmith.compose import compose
from tunesmith.messages import logger
from tunesmith.pipeline import encoded_data, model_source, reader_of
from tunesmith.types import IGNORED
from tunesmith_library_chat import tokenizer_of
from tunesmith_library_linting import Linter
from tunesmith_library_linting.lengths import Lengths

from .inputs import named, read
from .noting import noted, quietly

_IDS = "input_ids"
_PART = re.compile(r"(.*?)_?input_ids")
_TOKENS = 4000  # of an example that are shown
_BARS = 24  # of the histogram
_readers: dict[str, Any] = {}  # tokenizer and template of the last call, and what was announced of them
_found: dict[str, Any] = {}  # what the linter found in the data of the last call


def preview(configuration: Mapping[str, Any], count: int, most: int) -> dict[str, Any]:
    """Encode the first rows as the run would, without loading the model.

    Args:
        configuration: of the run, as its file has it.
        count: how many examples are shown.
        most: rows of each set that are looked at.

    Returns: `examples`, each with `parts` of `spans`; `lengths`; `trained`; `sets`; `findings`.
    Raises: TunesmithError for what is wrong with the configuration, or the data.
    """
    asked, limited = _limited(configuration, most)
    processor, splits = _encoded(limited)
    tokenizer = tokenizer_of(processor)
    examples = [_plain(example) for example in itertools.islice(splits.train, most)]
    lengths = [_length(example) for example in examples]
    shown = [_told(index, example, tokenizer) for index, example in enumerate(examples[:count])]
    return {
        "examples": shown,
        "looked_at": most if asked is None else min(asked, most),
        "lengths": _lengths(lengths),
        "trained": _trained(examples),
        "sets": {"train": len(examples), **{name: _size(held) for name, held in splits.eval.items()}},
        "findings": _findings(limited),
    }


def _encoded(configuration: Mapping[str, Any]) -> tuple[Any, Any]:
    """The tokenizer and the encoded sets. The tokenizer of the last call is taken again where it would be the same."""
    run = assemble(compose(configuration), "show")
    source = model_source(run, training=True)
    others = ("data", "output", "stage", "trainer", "optimizer", "tracker", "evaluator")
    stage = run.plan.name("stage"), run.plan.get("data.special_tokens")
    key = json.dumps([stage, {key: value for key, value in configuration.items() if key not in others}], default=str)
    if key in _readers:
        reader, said = _readers[key]
        for note in said:
            logger.info(note)
    else:
        _readers.clear()
        with noted() as notes:
            reader = reader_of(run, source)
        _readers[key] = reader, [note["message"] for note in notes]
    return reader[0], encoded_data(run, source, *reader)


def _limited(configuration: Mapping[str, Any], most: int) -> tuple[int | None, dict[str, Any]]:
    """The configuration with the first rows of its data alone, and how many it would take itself."""
    data = configuration.get("data")
    options: dict[str, Any] = dict(data) if isinstance(data, Mapping) else {"train": data}
    if not options.get("train"):
        raise DataError("no training data is chosen yet\n  write data.train=[data/train.json]")
    asked = options.get("max_samples")
    fewer = {"max_samples": min(asked or most, most), "cache": False, "num_proc": 1, "streaming": False}
    return asked, {**configuration, "data": {**options, **fewer}}


def _plain(example: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.tolist() if hasattr(value, "tolist") else value for name, value in example.items()}


def _length(example: Mapping[str, Any]) -> int:
    return max((len(value) for name, value in example.items() if name.endswith(_IDS)), default=0)


def _size(examples: Any) -> int | None:
    return len(examples) if hasattr(examples, "__len__") else None


def _told(index: int, example: Mapping[str, Any], tokenizer: Any) -> dict[str, Any]:
    """An example: its sequences with their tokens, and its other columns in words."""
    parts, used = [], set()
    for name, ids in example.items():
        if not (found := _PART.fullmatch(name)):
            continue
        labels, weights = (example.get(name.removesuffix(_IDS) + other) for other in ("labels", "weights"))
        used |= {name.removesuffix(_IDS) + other for other in (_IDS, "labels", "weights")}
        parts.append(_part(found[1], ids, labels, weights, tokenizer))
    others = {name: _shortened(value) for name, value in example.items() if name not in used}
    return {"index": index, "parts": parts, "others": others}


def _part(name: str, ids: Sequence[int], labels: Any, weights: Any, tokenizer: Any) -> dict[str, Any]:
    labelled = isinstance(labels, list) and len(labels) == len(ids)
    weighed = isinstance(weights, list) and len(weights) == len(ids)
    by_token = [
        None if not labelled else 0.0 if labels[at] == IGNORED else float(weights[at]) if weighed else 1.0
        for at in range(len(ids))
    ]
    pieces = list(_pieces(tokenizer, ids[:_TOKENS]))
    spans = []
    for weight, run in itertools.groupby(_with_weights(pieces, by_token), key=lambda pair: pair[1]):
        tokens = [piece for piece, _ in run]
        spans.append({"tokens": tokens, "trained": None if weight is None else weight != 0, "weight": weight})
    trained = sum(weight not in (None, 0) for weight in by_token)
    return {
        "name": name,
        "tokens": len(ids),
        "trained": trained if labelled else None,
        "shown": min(len(ids), _TOKENS),
        "spans": spans,
    }


def _with_weights(
    pieces: Sequence[tuple[str, int]], weights: Sequence[float | None]
) -> Iterator[tuple[str, float | None]]:
    at = 0
    for piece, tokens in pieces:
        yield piece, weights[at]
        at += tokens


def _pieces(tokenizer: Any, ids: Sequence[int]) -> Iterator[tuple[str, int]]:
    """The text of each token, and of how many it is: some characters take several.

    A token is decoded behind the one before it, for some tokenizers leave a space away at a beginning.
    """
    before: list[int] = []
    waiting: list[int] = []
    for token in ids:
        waiting.append(token)
        start = str(tokenizer.decode(before, skip_special_tokens=False)) if before else ""
        whole = str(tokenizer.decode([*before, *waiting], skip_special_tokens=False))
        piece = whole[len(start) :] if whole.startswith(start) else str(tokenizer.decode(waiting))
        if piece.endswith("�") and len(waiting) < 6:
            continue
        yield piece, len(waiting)
        before, waiting = waiting, []
    if waiting:
        yield str(tokenizer.decode(waiting, skip_special_tokens=False)), len(waiting)


def _shortened(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 200 else f"{text[:199]}…"


def _lengths(lengths: Sequence[int]) -> dict[str, Any]:
    """Quantiles of the lengths in tokens, how many have the largest, and a histogram of bars of the same width."""
    made = Lengths("tokens", np.array(lengths, np.int64), "").to_json()
    if not lengths:
        return made
    width = max(1, -(-max(lengths) // _BARS))
    counts = np.bincount(np.maximum(np.array(lengths) - 1, 0) // width)
    bars = [{"up_to": (at + 1) * width, "rows": int(rows)} for at, rows in enumerate(counts)]
    return {**made, "at_max": lengths.count(max(lengths)), "histogram": bars}


def _trained(examples: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many tokens with labels there are, how many are trained, and how many examples have none that is."""
    total = trained = idle = 0
    for example in examples:
        labels = [value for name, value in example.items() if name.endswith("labels") and isinstance(value, list)]
        of_example = sum(label != IGNORED for each in labels for label in each)
        total += sum(map(len, labels))
        trained += of_example
        idle += bool(labels) and not of_example
    return {"tokens": total, "trained": trained, "examples_without": idle}


def _findings(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """What the linter finds in the rows that were looked at; a set that it cannot read is told among them."""
    data = configuration["data"]
    key = json.dumps([data["train"], data["max_samples"], _states(data["train"])], default=str)
    if key not in _found:
        _found.clear()
        with quietly():
            _found[key] = _linted(data)
    return dict(_found[key])


def _states(entries: Any) -> list[float]:
    """When the files that entries name were last changed."""
    listed = entries if isinstance(entries, list) else [entries]
    paths = [Path(str(entry.get("path", "") if isinstance(entry, Mapping) else entry)) for entry in listed]
    return [path.stat().st_mtime if path.exists() else 0.0 for path in paths]


def _linted(data: Mapping[str, Any]) -> dict[str, Any]:
    entries = data["train"] if isinstance(data["train"], list) else [data["train"]]
    said = [dict(entry) if isinstance(entry, Mapping) else {"path": str(entry)} for entry in entries]
    linter = Linter()
    names = named([entry["path"] for entry in said])
    for name, entry in zip(names, said, strict=False):
        options = {**{key: value for key, value in entry.items() if key != "path"}, "max_samples": data["max_samples"]}
        try:
            fault = read(entry["path"], name, options, linter.look)
        except TunesmithError as error:
            fault = str(error)
        if fault:
            linter.failed(name, fault)
    linter.finish()
    found = linter.to_json()
    return {"summary": found["summary"], "findings": found["findings"][:200], "errors": found["errors"]}
