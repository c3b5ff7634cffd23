"""`tunesmith data annotate`: rows judged at the terminal, a key each.

What is said is noted in the journal that the web page has, so that both go on with each other's work.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from tunesmith import TunesmithError
from tunesmith.cli.languages import translate
from tunesmith.cli.output import say
from tunesmith.files import replacing
from tunesmith_library_studio.data.browsing import Wanted, rows_of
from tunesmith_library_studio.data.editing import noted, progress, saved
from tunesmith_library_studio.data.opening import digest
from tunesmith_library_studio.data.sets import Data
from tunesmith_library_studio.workspace import Workspace

from .keys import Keys
from .row_view import answer_of, lines_of, plain, sides

_FLAG = "flag"
_KEYS = """\
  y n    good, bad
  a b t  of a pair: A or B is better, or neither
  1-5    a rating
  e      correct the answer in $EDITOR
  f      flag, or no longer
  s      skip
  u      undo
  j k    next, previous; also space and the arrows
  g      go to a row
  o      only rows that you did not judge, or all
  w      write a version
  q      quit"""
_VERSIONS = {"e": "edits", "l": "labels", "p": "preferences"}
MESSAGES = (
    *("{count} good", "{count} bad", "{count} corrected", "{count} ties", "{count} removed", "{count} not judged"),
    *("{count} without label", "{count} without answer", "{count} without pair"),
    *("{count} could not be read", "{count} could not be written"),
)


@contextmanager
def opened(file: str, runs: Path) -> Iterator[tuple[Data, str]]:
    """The data layer, and a file's name in it, which is the same that the web page has."""
    path = Path(file).expanduser()
    there = path.resolve()
    layer = Data(Workspace(runs, allowed=[there.parent] if there.is_file() else []))
    try:
        layer.file(file)  # of what is no file no version can be saved
        yield layer, file
    finally:
        layer.close()


def annotate(file: str, author: str, runs: Path, start: int | None, everything: bool) -> None:
    """Show rows and note what keys say of them. Raises: TunesmithError where there is no terminal."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise TunesmithError(
            "annotating needs a terminal, whose keys are read one by one.\n"
            "in a browser: tunesmith webui; to write what was judged: --save labels"
        )
    with opened(file, runs) as (layer, data), Keys() as keys:
        Session(layer, data, author, keys, Console(highlight=False), everything).run(start)


def save(file: str, author: str, runs: Path, what: str, only_judged: bool) -> None:
    """Write what was judged as a version beside the file."""
    with opened(file, runs) as (layer, data):
        _tell(saved(layer, data, author, what, only_judged=only_judged))


def _tell(version: Any) -> None:
    changes = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in version["changes"].items() if count)
    say(f"done: {version['path']} ({version['rows']:,} rows{f'; {changes}' if changes else ''})")


class Session:
    """One person's way through a set.

    Args:
        everything: also show rows that the person judged already.
    """

    def __init__(
        self, layer: Data, data: str, author: str, keys: Keys, console: Console, everything: bool = False
    ) -> None:
        self.layer, self.data, self.author = layer, data, author
        self.keys, self.console, self.everything = keys, console, everything
        self.count = layer.opened(data).count
        self.row: dict[str, Any] | None = None
        self.at = 1  # the row that is shown, or from where one is looked for
        self.unreadable: set[int] = set()

    def run(self, start: int | None = None) -> None:
        """Go on until the person ends it, from where that was the last time."""
        self._say(f"{self.data}: {self.count:,} rows, judged by {self.author}", "")
        self._help()
        self._show(start or self._place())
        try:
            while (key := self.keys.read()) != "q":
                try:
                    self._act(key)
                except TunesmithError as error:  # of a row; the others can still be judged
                    self._say(str(error), "red")
        except (EOFError, KeyboardInterrupt):
            pass
        self._keep_place()
        self._farewell()

    def _act(self, key: str) -> None:
        acts: dict[str, Callable[[], None]] = {
            **{"j": lambda: self._show(self.at + 1), " ": lambda: self._show(self.at + 1), "k": self._back},
            **{"u": self._undo, "g": self._go, "o": self._toggle, "w": self._write, "?": self._help},
        }
        if key in acts:
            acts[key]()
        elif self.row is None:
            self._say("there is no row; g goes to one, o shows all, q quits")
        elif act := self._judgements(self.row).get(key):
            act()
        else:
            self._say(f"{plain(key)} does nothing here; ? tells what keys do")

    def _judgements(self, row: dict[str, Any]) -> dict[str, Callable[[], None]]:
        """What keys say of the row that is shown."""
        content = row["content"]
        acts: dict[str, Callable[[], None]] = {
            str(stars): (lambda stars=stars: self._judge("rate", stars))  # type: ignore[misc]
            for stars in range(1, 6)
        }
        if "chosen" in content:
            first, second = sides(row["row"], self.author)
            acts |= {"a": lambda: self._judge("choose", first), "b": lambda: self._judge("choose", second)}
            acts["t"] = lambda: self._judge("choose", "tie")
        elif answer_of(content) is not None:
            acts |= {"y": lambda: self._judge("label", True), "n": lambda: self._judge("label", False)}
        return {**acts, "s": lambda: self._judge("skip", True), "f": self._flag, "e": self._correct}

    def _judge(self, action: str, value: Any) -> None:
        noted(self.layer, self.data, self.at, self.author, action, value)
        self._show(self.at + 1)

    def _flag(self) -> None:
        own = self._own().get("tags", [])
        tags = [tag for tag in own if tag != _FLAG] if _FLAG in own else [*own, _FLAG]
        self.row = noted(self.layer, self.data, self.at, self.author, "tags", tags)
        self._say("this row is flagged" if _FLAG in tags else "no longer flagged")

    def _correct(self) -> None:
        assert self.row is not None
        answer = answer_of(self.row["content"])
        if answer is None:
            self._say("this row has no answer of plain text")
            return
        former = self._own().get("correct", answer)
        try:
            with self.keys.away():
                text = click.edit(former, extension=".md", require_save=True)
        except click.ClickException as error:
            self._say(f"{error.message}\nset EDITOR to a program that edits a file", "red")
            return
        text = None if text is None else text.removesuffix("\n") if not former.endswith("\n") else text
        if text is None or text == former:
            self._say("not changed")
        else:
            self._judge("correct", text)

    def _undo(self) -> None:
        undone = self.layer.journal(self.data).undo(self.author)
        if undone is None:
            self._say("there is nothing to take back")
            return
        self._exactly(undone["row"])
        self._say(f"taken back: {undone['action']} of row {undone['row']:,}")

    def _go(self) -> None:
        with self.keys.away():
            asked = translate(f"row (1 to {self.count:,}): ")
            text = self.console.input(asked, markup=False).strip().replace(",", "")
        if text.isdigit() and 1 <= int(text) <= self.count:
            self._exactly(int(text))
        elif text:
            self._say(f"there is no row {plain(text)}; there are {self.count:,}")

    def _toggle(self) -> None:
        self.everything = not self.everything
        self._say("all rows" if self.everything else "only rows that you did not judge")
        self._show(self.at)

    def _write(self) -> None:
        self._say("write: e edited and corrected rows, l labels for KTO, p pairs for DPO; another key: nothing")
        if what := _VERSIONS.get(self.keys.read()):
            _tell(saved(self.layer, self.data, self.author, what))

    def _back(self) -> None:
        for row in range(self.at - 1, 0, -1):
            if row not in self.unreadable:
                self._exactly(row)
                return
        self._say("this is the first row")

    def _exactly(self, row: int) -> None:
        """Show a row, judged or not."""
        items = rows_of(self.layer, self.data, Wanted(only=[row]))["items"]
        self._draw(items[0] if items and items[0]["content"] is not None else None, row)
        if self.row is None:
            self._say(f"row {row:,} cannot be read: {plain(items[0]['fault']) if items else 'it is empty'}", "red")

    def _show(self, start: int) -> None:
        """Show the first row from a number on that is to be judged; from the beginning again where there is none."""
        found = self._find(start) or (self._find(1) if start > 1 and not self.everything else None)
        self._draw(found, found["row"] if found else start)
        if found is None:
            self._say("✓ no row is left" if not self.everything else "this was the last row", "green")
            self._say("o shows all rows, w writes a version, q quits")

    def _find(self, start: int) -> dict[str, Any] | None:
        marked, offset = "" if self.everything else "unjudged", start - 1
        while offset is not None and offset < self.count:
            page = rows_of(self.layer, self.data, Wanted(offset=offset, marked=marked, author=self.author))
            for item in page["items"]:
                if item["content"] is not None:
                    return dict(item)
                self.unreadable.add(item["row"])
            offset = page["next"]
        return None

    def _draw(self, row: dict[str, Any] | None, at: int) -> None:
        self.row, self.at = row, max(1, min(at, self.count))
        if row is None:
            return
        about = progress(self.layer, self.data)
        title = f"row {at:,} of {self.count:,} · {about['by_author'].get(self.author, 0):,} judged by you"
        self.console.print()
        self.console.rule(translate(title), align="left", style="dim")
        for line in lines_of(row["content"], sides(at, self.author)):
            self.console.print(line)
        if own := self._own():
            self._say("you said: ", "blue", ", ".join(f"{name} {plain(str(value))}" for name, value in own.items()))

    def _own(self) -> dict[str, Any]:
        """What the person said of the row that is shown; of a pair by the letters of its sides."""
        own = dict(self.row["marks"]["opinions"].get(self.author, {})) if self.row else {}
        if own.get("choose") in ("chosen", "rejected"):
            own["choose"] = "AB"[sides(self.at, self.author).index(own["choose"])]
        return own

    def _help(self) -> None:
        self._say(_KEYS)

    def _say(self, text: str, style: str = "dim", data: str = "") -> None:
        """Show words of ours in the user's language, and behind them what data say, as it is."""
        self.console.print(translate(text) + data, style=style, markup=False)

    def _farewell(self) -> None:
        about = progress(self.layer, self.data)
        self._say(
            f"\n{about['by_author'].get(self.author, 0):,} of {self.count:,} rows judged by {self.author}", "bold"
        )
        for kind, one in about["agreement"].items():
            alpha = "–" if one["alpha"] is None else f"{one['alpha']:.2f}"
            self._say(f"  {kind}: {one['share']:.0%} agree in {one['rows']:,} rows that several judged; alpha {alpha}")
        if self.unreadable:
            self._say(f"  passed over, rows that their format cannot read: {len(self.unreadable):,}")
        self._say(f"  to go on: tunesmith data annotate {self.data}\n  to write a version: … --save labels")

    def _places(self) -> Path:
        path = self.layer.file(self.data)
        return self.layer.workspace.state / "notes" / f"{digest(str(path))}.places.json"

    def _place(self) -> int:
        """Where the person stopped the last time."""
        try:
            return int(json.loads(self._places().read_text("utf-8")).get(self.author, 1))
        except (OSError, ValueError):
            return 1

    def _keep_place(self) -> None:
        try:
            places = json.loads(self._places().read_text("utf-8"))
        except (OSError, ValueError):
            places = {}
        with replacing(self._places()) as draft:
            draft.write_text(json.dumps({**places, self.author: self.at}, ensure_ascii=False), "utf-8")
