"""Examples as a reader sees them: tokens as text, with the trained ones marked, media by their places and sizes, and
every other column by its value."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

from rich.console import Console
from rich.text import Text
from tunesmith.cli.languages import joined, translate
from tunesmith.types import IGNORED, DatasetSplits
from tunesmith_library_chat import tokenizer_of
from tunesmith_library_media.placing import COLUMN

MESSAGES = (  # titles of examples
    *("a stream", "1 example", "{count} examples", "example {index}  {count} tokens", "example {index}  no columns"),
    *("example {index}  {count} tokens, {trained} trained", "example {index} {part}  {count} tokens"),
    "example {index} {part}  {count} tokens, {trained} trained",
)
_WIDTH = 100  # characters of a value
_IDS = "input_ids"
_RUN = re.compile(r"(<[^<>\s]+>|\[[A-Z_]+\])\1{3,}")  # tokens of an image: one for each of its patches


def print_examples(processor: Any, splits: DatasetSplits, count: int, console: Console) -> None:
    """Print the first examples of the training set, and the sizes of all sets.

    Args:
        processor: of the model; its tokenizer decodes.
        splits: encoded examples with any columns.
        count: how many.
    """
    tokenizer = tokenizer_of(processor)
    for index, example in enumerate(_first(splits.train, count)):
        _print_example(index, {name: _plain(value) for name, value in example.items()}, tokenizer, console)
    sets = {"train": splits.train, **splits.eval}
    sizes = (joined((name, translate(_size(examples))), ": ") for name, examples in sets.items())
    console.rule(joined(sizes, ", "), align="left")


def _first(examples: Any, count: int) -> Iterator[Mapping[str, Any]]:
    if hasattr(examples, "__len__"):
        return (examples[index] for index in range(min(count, len(examples))))
    return itertools.islice(examples, count)


def _size(examples: Any) -> str:
    if not hasattr(examples, "__len__"):
        return "a stream"
    return "1 example" if len(examples) == 1 else f"{len(examples)} examples"


def _plain(value: Any) -> Any:
    """Arrays and tensors as lists, their scalars as numbers."""
    return value.tolist() if hasattr(value, "tolist") else value


_MEDIA = re.compile(rf"(?:(.*)_)?({'|'.join(COLUMN.values())})")
"""Names of columns with media; those of one of several sequences have its name before."""


def _print_media(example: Mapping[str, Any], console: Console) -> set[str]:
    """Print the images, videos and sounds of an example. Returns: the columns that they are in."""
    from tunesmith_library_media.telling import told

    shown = set()
    for name, items in example.items():
        found = _MEDIA.fullmatch(name)
        if not found or not isinstance(items, list) or not all(isinstance(item, Mapping | str) for item in items):
            continue
        shown.add(name)
        kind = next(kind for kind, column in COLUMN.items() if column == found[2])
        for number, item in enumerate(items, start=1):
            title = " ".join(filter(None, [found[1], kind, str(number)]))
            console.print(Text(f"{title}: {told(kind, item)}"))
    return shown


def _print_example(index: int, example: Mapping[str, Any], tokenizer: Any, console: Console) -> None:
    prefixes = [name.removesuffix(_IDS) for name, value in example.items() if name.endswith(_IDS) and _is_tokens(value)]
    shown = set()
    for prefix in prefixes:
        ids, labels = example[f"{prefix}{_IDS}"], example.get(f"{prefix}labels")
        shown.add(f"{prefix}{_IDS}")
        title = f"example {index} {prefix.strip('_')}  {len(ids)} tokens"
        if _is_tokens(labels) and len(labels) == len(ids):
            shown.add(f"{prefix}labels")
            weights = example.get(f"{prefix}weights")
            if isinstance(weights, list) and len(weights) == len(ids):
                shown.add(f"{prefix}weights")
            else:
                weights = [1.0] * len(ids)
            trained = sum(label != IGNORED for label in labels)
            console.rule(translate(f"{title}, {trained} trained"), align="left")
            console.print(_marked(tokenizer, ids, labels, weights, colour=console.is_terminal))
        else:
            console.rule(translate(title), align="left")
            console.print(Text(_decoded(tokenizer, ids)))
    shown |= _print_media(example, console)
    rest = {name: value for name, value in example.items() if name not in shown}
    if not prefixes:
        console.rule(translate(f"example {index}{'' if rest else '  no columns'}"), align="left")
    for name, value in rest.items():
        console.print(Text(f"{name}: {_shortened(value)}"))


def _is_tokens(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(item) is int for item in value)


def _shortened(value: Any) -> str:
    """A value in one line."""
    if isinstance(value, list) and all(isinstance(item, int | float) for item in value):
        text = ", ".join(f"{item:g}" if isinstance(item, float) else str(item) for item in value)
        what = "1 number" if len(value) == 1 else f"{len(value)} numbers"
        return f"{what}: {_cut(text)}" if value else what
    return _cut(value.replace("\n", "\\n") if isinstance(value, str) else repr(value))


def _cut(text: str) -> str:
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"


def _decoded(tokenizer: Any, ids: list[int]) -> str:
    """The text of tokens, in which a mark that is there many times over is told once, with its number."""
    text = str(tokenizer.decode(ids, skip_special_tokens=False))
    return _RUN.sub(lambda run: f"{run[1]}×{len(run[0]) // len(run[1])}", text)


def _marked(tokenizer: Any, ids: list[int], labels: list[int], weights: list[float], colour: bool) -> Text:
    """The text of the tokens, run by run of those that weigh the same; before it what they weigh, if that is not 1."""
    text = Text()
    by_token = [weight if label != IGNORED else 0.0 for label, weight in zip(labels, weights, strict=True)]
    for weight, run in itertools.groupby(zip(ids, by_token, strict=True), key=lambda pair: pair[1]):
        piece = _decoded(tokenizer, [token for token, _ in run])
        mark = f"{weight:g}×" if weight not in (0, 1) else ""
        if colour:
            text.append(mark, style="yellow")
            text.append(piece, style="bold green" if weight else "dim")
        else:
            text.append(f"⟦{mark}{piece}⟧" if weight else piece)
    return text
