"""What models are compared on, and calibrated on: the conversations that a run was trained on.

Where there are none, a few of our own do for comparing, and nothing does for calibrating.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith import TunesmithError
from tunesmith.types import ModelHandle
from tunesmith_library_chat import tokenizer_of
from tunesmith_library_media.texts import row_text

from tunesmith_library_proving.quieting import errors_only

COUNT = 8
"""So many conversations of the run."""

_LENGTH = 128  # tokens of each that are compared
_PARTS = ("chosen", "completion")
_OWN: tuple[list[dict[str, Any]], ...] = (
    [
        {
            "role": "user",
            "content": "The tide table for Tuesday says 3:07, 9:41 and 15:26. Which is high water? 哪一次是高潮？",
        },
        {"role": "assistant", "content": "9:41 is high water; 3:07 and 15:26 are low. 高潮是 9:41。"},
    ],
    [
        {"role": "system", "content": "Answer in one line."},
        {"role": "user", "content": "def area(r):\n    return 3.14159 * r ** 2  # what is missing?"},
        {"role": "assistant", "content": "Nothing: `area(2)` is 12.57. \N{SLIGHTLY SMILING FACE}"},
    ],
)

MESSAGES = (
    "{count} conversations",
    "the run's data",
)


@dataclass(frozen=True)
class Text:
    """One conversation, as the trained template and tokenizer have it."""

    text: str
    ids: tuple[int, ...]  # of the whole text
    messages: tuple[Mapping[str, Any], ...] = ()  # empty for a text that no template wrote
    tools: tuple[Mapping[str, Any], ...] = ()
    prompt: str = ""  # of the first question, up to where an answer begins

    def compared(self, budget: int) -> tuple[int, ...]:
        """The tokens that models are compared on."""
        return self.ids[: min(_LENGTH, budget)]


@dataclass(frozen=True)
class Texts:
    """The conversations, and whose they are."""

    texts: tuple[Text, ...]
    origin: str  # `the run's data`, or why it is not those


def texts_of(handle: ModelHandle, count: int = COUNT) -> Texts:
    """The first conversations of the run that a model is of; our own where it has none that can be read."""
    folder = _run_folder(handle)
    try:
        rows = [] if folder is None else _rows(folder, handle, count)
        why = "no run" if folder is None else "the run's data has no conversation of text"
    except (TunesmithError, OSError, ValueError, ImportError) as error:
        rows, why = [], f"the run's data is not at hand: {_reason(error)}"
    found = tuple(_written(rows, handle))[:count]
    if found:
        return Texts(found, "the run's data")
    return Texts(tuple(_written(({"messages": talk} for talk in _OWN), handle)), f"our own; {why}")


def calibration_texts(handle: ModelHandle, count: int, data: str | None, key: str) -> Texts:
    """Conversations of the run, or of a given data set, for whoever rounds a model by what goes through it.

    Args:
        count: at most so many, drawn evenly from the first ones of every data set.
        data: a file, a name in the registry or a hub's address, instead of the run's data.
        key: of the option that says `data`.

    Raises: TunesmithError when there are none.
    """
    folder = _run_folder(handle)
    if folder is None and data is None:
        raise TunesmithError(
            f"{handle.source.address} is no run, and has no data of its own to calibrate with.\n"
            f"  {key}=FILE, a hub's address or a name in conf/datasets.yaml"
        )
    change = {} if data is None else {"data.train": [data], "data.eval": [], "data.split_by": None}
    asked = f"{key}={data}" if data is not None else f"the data of {folder}"
    try:
        found = tuple(_written(_rows({} if folder is None else folder, handle, count, change), handle))
    except (TunesmithError, OSError, ValueError, ImportError) as error:
        raise TunesmithError(
            f"{asked} cannot be read for calibrating: {error}\n  {key}=FILE names other data"
        ) from error
    if not found:
        raise TunesmithError(f"{asked} has no conversation of text to calibrate with.\n  {key}=FILE names other data")
    return Texts(found, "the run's data" if data is None else data)


def _reason(error: Exception) -> str:
    """An error in one line: its first, and the next where that is the heading of a list."""
    lines = [" ".join(line.split()) for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]


def _run_folder(handle: ModelHandle) -> Path | None:
    """The run that trained a model."""
    folder = handle.adapter or handle.source.path
    return folder if (folder / "run.yaml").is_file() else None


def _rows(
    config: Path | Mapping[str, Any], handle: ModelHandle, count: int, change: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Canonical rows of training data, read as the run read them, before its stage encodes them.

    Args:
        config: the run's folder.
        change: options over the run's; with it the rows are drawn evenly, without it they are the first.
    """
    from tunesmith.assemble import assemble
    from tunesmith.compose import compose
    from tunesmith.types import DatasetSplits, Encoder

    few = {
        "data.max_samples": count,
        "data.cache": False,
        "data.streaming": False,
        "data.val_size": 0,
        "data.num_proc": 1,
    }
    with errors_only("tunesmith"):  # what is said of reading data was said when the run was trained
        run = assemble(compose(config, {**few, **(change or {})}), "rows")
        encoder = Encoder(_as_json, handle.processor, handle.template, "rows")
        splits: DatasetSplits = run.hook.build_dataset(fetch=run.fetch, to_rows=run.to_rows, encode=encoder)
        if isinstance(config, Path) and not change and not (compose(config).tree.get("data") or {}).get("streaming"):
            refuse_other_data(config, splits.fingerprint)
        total = len(splits.train)
        taken = min(count, total)
        chosen = range(taken) if change is None else (at * total // taken for at in range(taken))
        return [json.loads(str(splits.train[at]["row"])) for at in chosen]


def refuse_other_data(run: Path, found: str) -> None:
    """Raise TunesmithError for data whose contents are no longer those that a run's checkpoints were made of.

    Args:
        found: the fingerprint of what is there now; "" where nobody knows.
    """
    for file in run.glob("checkpoint-*/complete.json"):
        told = json.loads(file.read_text(encoding="utf-8")).get("told") or {}
        trained = (told.get("made_of") or {}).get("data")
        if trained and found and trained != found:
            raise TunesmithError(f"what data.train names is not what the run was trained on, by {file.parent.name}")


def _as_json(rows: Sequence[dict[str, Any]], processor: Any, template: Any) -> dict[str, list[str]]:
    return {"row": [row_text(row) for row in rows]}


def _written(rows: Iterable[Mapping[str, Any]], handle: ModelHandle) -> Iterator[Text]:
    """Rows as text and tokens; those that a template refuses, and those with pictures or sound, are passed over."""
    tokenizer = tokenizer_of(handle.processor)
    for row in rows:
        if any(row.get(name) for name in ("images", "videos", "audios")):
            continue
        messages, tools = _messages(row), tuple(_listed(row.get("tools")))
        try:
            if messages:
                text = handle.template.render(messages, tools or None).text
                asked = next(at for at, message in enumerate(messages) if message["role"] == "user")
                prompt = handle.template.render(messages[: asked + 1], tools or None, add_generation_prompt=True).text
            else:
                text, prompt = str(row.get("text") or ""), ""
        except (TunesmithError, StopIteration):
            continue
        if text:
            ids = tuple(tokenizer.encode(text, add_special_tokens=False))
            yield Text(text, ids, tuple(messages), tools, prompt)


def _messages(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The turns of a row of any stage."""
    if row.get("messages"):
        return list(row["messages"])
    turns = list(row.get("prompt") or ())
    for name in _PARTS:
        said = row.get(name)
        if said:
            return [*turns, *(said if isinstance(said, list) else [said])]
    return turns


def _listed(tools: Any) -> list[Any]:
    if isinstance(tools, str):
        tools = json.loads(tools or "[]")
    return list(tools or ())
