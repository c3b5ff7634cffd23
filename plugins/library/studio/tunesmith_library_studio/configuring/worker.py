"""The process in which plugins are imported: it reads a request in each line, and answers each by a line.

What plugins print goes to the log: the answers have a channel of their own.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from pathlib import Path
from typing import Any, TextIO

from tunesmith import TunesmithError
from tunesmith.catalog import Catalog

from tunesmith_library_studio.configuring import drafts
from tunesmith_library_studio.configuring.figures import figures
from tunesmith_library_studio.configuring.sources import parts_of, source_of
from tunesmith_library_studio.workspace import Workspace


@functools.cache
def _catalog() -> Catalog:
    """What is installed; a process is ended when that changes."""
    return Catalog.discover()


def done(request: dict[str, Any], workspace: Workspace) -> Any:
    """Carry out one request.

    Raises: TunesmithError.
    """
    catalog = _catalog()
    if request["do"] == "form":
        from tunesmith_library_studio.configuring.form import form, sources

        made = form(catalog)
        return {"form": made, "sources": sources(catalog)}
    if request["do"] == "plugins":
        from tunesmith_library_studio.installed.telling import plugins

        return plugins(catalog)
    if request["do"] == "plugin":
        from tunesmith_library_studio.installed.telling import plugin

        return plugin(catalog, request["kind"], request["name"], request["distribution"])
    if request["do"] == "export":
        from tunesmith_library_studio.exports.planning import planned

        return planned(request["source"], request["changes"], catalog)
    draft = _draft(request["draft"], workspace)
    if request["do"] == "figures":
        return figures(draft, workspace, catalog, machine=request["machine"], advice=request["advice"])
    return drafts.answer(draft, workspace, catalog)


def _draft(given: dict[str, Any], workspace: Workspace) -> drafts.Draft:
    added: list[str] = []
    file, values = given["file"], given.get("values")
    if given.get("words") is not None:
        named, added = parts_of(given["words"])
        file, values = (str(source_of(named, workspace)), None) if named else (file, {})
    overrides = drafts.overrides_of([*added, *(given.get("overrides") or ())])
    return drafts.Draft(Path(file), overrides, values, given.get("text"))


def serve(requests: TextIO, answers: TextIO, workspace: Workspace) -> None:
    """Answer requests until there are no more."""
    for line in requests:
        told: dict[str, Any]
        try:
            told = {"answer": done(json.loads(line), workspace)}
        except TunesmithError as error:
            told = {"error": str(error)}
        except Exception as error:  # other people's code: the next request may be right
            import traceback

            traceback.print_exc()
            told = {"error": f"this could not be examined: {type(error).__name__}: {error}"}
        answers.write(json.dumps(told, ensure_ascii=False, default=str) + "\n")
        answers.flush()


def main() -> None:
    """Serve the process that started this one; its folders are the arguments."""
    runs, root, *allowed = map(Path, sys.argv[1:])
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(sys.stdin, answers, Workspace(runs, root, allowed))


if __name__ == "__main__":
    main()
