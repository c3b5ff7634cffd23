"""What an exporter's report says, as rows of a table: what was compared, by how much it differs, what is allowed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_FIGURES = ("same_choice", "divergence", "largest", "perplexity_after")
_LIMITS = {"same_choice": "same_choice", "divergence": "divergence", "largest": "largest", "perplexity_after": "worse"}
_OWN = ("format", "program", "figures", "limits", "base_in_this_format", "stages", "compared_on", "answer", "tensors")


def figures(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The numbers of a report.

    Returns: rows with `step` (empty for the artefact itself), `figure` (same_choice, divergence, largest,
        perplexity_after), `value`, and of `before` (perplexity of the trained model), `limit`, `base` (what the same
        format does to the base) those that are known; of several files with the `file`.
    """
    return [*_of("", report), *_of_files(report)]


def _of(file: str, report: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    named = {"file": file} if file else {}
    limits, base = report.get("limits") or {}, report.get("base_in_this_format") or {}
    for row in _rows(report.get("figures") or {}, limits, base):
        yield {"step": "", **named, **row}
    for step, said in (report.get("stages") or {}).items():
        for row in _rows(said, said.get("limits") or {}, {}):
            yield {"step": step, **named, **row}


def _of_files(report: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for file, said in (report.get("files") or {}).items():
        if isinstance(said, Mapping):
            yield from _of(file, said)


def _rows(said: Mapping[str, Any], limits: Mapping[str, Any], base: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for figure in _FIGURES:
        if said.get(figure) is None:
            continue
        more = {"limit": limits.get(_LIMITS[figure]), "base": base.get(figure)}
        if figure == "perplexity_after":
            more["before"] = said.get("perplexity_before")
        yield {
            "figure": figure,
            "value": said[figure],
            **{key: value for key, value in more.items() if value is not None},
        }


def checks(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What else was compared: `check`, whether it is `equal`, `problems`, and what was found (`facts`)."""
    found = [_check(name, said) for name, said in report.items() if name not in _OWN and isinstance(said, Mapping)]
    tensors = report.get("tensors")
    if isinstance(tensors, Mapping):
        wrong = [f"{kind}: {', '.join(map(str, tensors[kind]))}" for kind in ("lost", "wrong") if tensors.get(kind)]
        facts = {
            key: value for key, value in tensors.items() if isinstance(value, int | float | str) and key != "equal"
        }
        found.insert(0, {"check": "tensors", "equal": not wrong, "problems": wrong, "facts": facts})
    return found


def _check(name: str, said: Mapping[str, Any]) -> dict[str, Any]:
    problems = list(said.get("problems") or ())
    facts = {key: value for key, value in said.items() if isinstance(value, int | float | str) and key != "equal"}
    return {"check": name, "equal": bool(said.get("equal")) and not problems, "problems": problems, "facts": facts}
