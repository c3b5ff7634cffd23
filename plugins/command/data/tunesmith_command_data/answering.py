"""`tunesmith data answer`: what the other commands do, asked for by another program, line by line.

Importing what reads tokenizers takes seconds, and a page wants an answer in one: so it keeps this process while it
asks. A request is a line of JSON, `{"do": "check", "words": ["train.json"]}`; so is an answer, `{"result": …}` or
`{"error": …}`.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from tunesmith import TunesmithError
from tunesmith.files import replacing
from tunesmith.messages import logger

from .inputs import entries_of, measuring, named, read
from .noting import noted

Request = Mapping[str, Any]


def answer_all(requests: TextIO, answers: TextIO) -> None:
    """Answer requests until there are no more. What commands print goes to the log, for answers are alone here."""
    with contextlib.redirect_stdout(sys.stderr):
        for line in requests:
            answers.write(json.dumps(_answer(json.loads(line)), ensure_ascii=False, default=str) + "\n")
            answers.flush()


def _answer(request: Request) -> dict[str, Any]:
    given = {name: value for name, value in request.items() if name != "do"}
    try:
        with noted() as notes:
            result = REQUESTS[request["do"]](**given)
    except TunesmithError as error:
        return {"error": str(error)}
    except Exception as error:  # one request that fails must not end the process for the next
        logger.error("%s failed", request["do"], exc_info=error)
        return {"error": f"{type(error).__name__}: {error}"}
    return {"result": result, "notes": notes}


def rows(data: str, out: str, options: Mapping[str, Any] | None = None, most: int | None = None) -> dict[str, Any]:
    """Write the records of a set as JSON Lines; what cannot be read of them becomes a line that is no JSON."""
    said = {**(options or {}), **({"max_samples": most} if most else {})}
    with replacing(Path(out)) as draft, draft.open("w", encoding="utf-8", newline="\n") as stream:
        number = 0

        def take(items: Sequence[Any]) -> None:
            nonlocal number
            for item in items:
                number += 1
                text = item.fault or json.dumps(item.record, ensure_ascii=False, default=str)
                stream.write(text.replace("\n", " ") + "\n")

        fault = read(data, data, said, take, raw=True)
        if fault:
            if not number:
                raise TunesmithError(fault)
            stream.write(f"what follows cannot be read: {fault}".replace("\n", " ") + "\n")
    return {"rows": number, "fault": fault}


def check(
    words: Sequence[str],
    held_out: Sequence[str] = (),
    tokenizer: str | None = None,
    max_length: int | None = None,
    only: Sequence[str] = (),
    fix: str | None = None,
) -> dict[str, Any]:
    """What is wrong with a set, as `tunesmith data check --json` has it; with `fix`, a set without it is written."""
    from . import checking

    lengths = checking.standard_lengths(tokenizer, max_length)
    linter = checking.lint(words, held_out, (), lengths, only, ())
    if fix:
        checking.fix(linter, words, Path(fix))
    return linter.to_json()


def stats(words: Sequence[str], tokenizer: str | None = None) -> dict[str, Any]:
    """What a set is made of, as `tunesmith data stats --json` has it."""
    from tunesmith_library_linting.statistics import Statistics

    paths, options = entries_of(words)
    counted = Statistics(measuring(tokenizer))
    faults = {name: read(path, name, options, counted.look) for name, path in named(paths).items()}
    return {"sets": counted.to_json(), "faults": {name: fault for name, fault in faults.items() if fault}}


def convert(words: Sequence[str], out: str, format: str) -> dict[str, Any]:
    """Write a set in another format."""
    from . import converting

    return {"left_out": converting.convert(words, Path(out), format)}


def contamination(
    words: Sequence[str], held_out: Sequence[str], threshold: float = 0.7, run: int = 13
) -> dict[str, object]:
    """How much of evaluation sets stands in training data, by example."""
    from . import contaminated

    found = contaminated.look(words, held_out, (), run)
    return contaminated.to_json(found, threshold, run)


def preview(configuration: Mapping[str, Any], count: int = 5, most: int = 200) -> dict[str, Any]:
    """What a run would train on, of its first rows, see `previewing`."""
    from .previewing import preview

    return preview(configuration, count, most)


REQUESTS: Mapping[str, Callable[..., Mapping[str, Any]]] = {
    function.__name__: function for function in (rows, check, stats, convert, contamination, preview)
}
