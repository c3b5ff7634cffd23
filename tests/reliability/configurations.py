"""A generator of malformed configurations: recipes with values, keys, lines and bytes that do not belong there."""

from __future__ import annotations

import json
import random
import re
import shutil
import signal
import traceback
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any

import tunesmith
from tunesmith.catalog import Catalog
from tunesmith.errors import TunesmithError
from tunesmith.keys import nearest_origin
from tunesmith.kinds import CONFIGURED
from tunesmith.options import Option, options
from tunesmith.planning import Plan, RunOptions
from tunesmith.types import Problem
from tunesmith_library_configuration.keys import Key

LIMIT = 20  # seconds that a plan may take

STRANGE = (
    *("-1", "0", "1", "-0.5", "1.5", "1e30", "1e-400", "1e999", ".nan", "nan", ".inf", "-.inf", "9" * 40, "9" * 5000),
    *("0123", "0x10", "0o17", "1_000", "1:30", "12345e7", "2026-01-31", "true", "no", "null", "~", "''", '""', "' '"),
    *("[", "{", "[a", "[1, 2]", "[[[]]]", "{a: 1}", "{a: {b: {c: []}}}", "a: b", "- a", "*x", "&x y", "@x", "`x`"),
    *("!!int x", "!!binary x", "!!python/object:os.system x", "x # y", "# x", "|", ">", "---", "x,y", "[x, x]", "%x"),
    *('"\\0"', '"\\ud800"', '"\\UFFFFFFFF"', "x" * 300, "x" * 5000, "/" + "x/" * 3000, "../../x", "/", "."),
    *("nohub://x", "hf://", "://", "org/name", "my_loss.py", "my_loss.py:Mine", "acme:console", "${seed}", "${.x}"),
    *("${nowhere}", "${", "${a", "${oc.env:NO_SUCH_VARIABLE}", "${oc.decode:x}", "???", "é", "\u200b", "[???]"),
    *("{x: ???}", "~nobody/x", "\udcff"),
)
"""What is put in the place of values."""


@dataclass(frozen=True)
class Outcome:
    """What became of a configuration."""

    plan: Plan | None  # None where it was refused before
    problems: tuple[Problem, ...]
    said: str  # all that a user is told
    crash: str = ""  # a traceback


def outcome_of(config: Any, overrides: Any, catalog: Catalog) -> Outcome:
    """Plan a training; what takes too long is a crash."""

    def late(*_: Any) -> None:
        raise TimeoutError(f"more than {LIMIT} s")

    former = signal.signal(signal.SIGALRM, late)
    signal.alarm(LIMIT)
    try:
        plan, problems = tunesmith.plan(config, overrides, catalog=catalog)
    except TunesmithError as error:
        return Outcome(None, (), str(error))
    except BaseException as error:
        return Outcome(None, (), "", "".join(traceback.format_exception(error))[-3000:])
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, former)
    errors = tuple(problem for problem in problems if problem.severity == "error")
    return Outcome(plan, errors, "\n".join(f"{problem.message}\n{problem.advice}" for problem in errors))


def faults(outcome: Outcome, sources: tuple[str, ...]) -> Iterator[str]:
    """What is wrong with how a configuration ended: it is to be refused with a place, or to be whole.

    Args:
        sources: what stands for a place in what is told: the files, and "command line".
    """
    if outcome.crash:
        yield outcome.crash
    elif outcome.plan is None:
        if not any(source in outcome.said for source in sources):
            yield f"no place in: {outcome.said}"
    elif outcome.problems:
        for problem in outcome.problems:
            if not problem.message.strip() or "Traceback" in problem.message:
                yield f"nothing is said: {problem}"
            written = nearest_origin(Key.of(problem.key), outcome.plan.origins)
            if problem.key and written is not None and not str(written).startswith(sources):
                yield f"{problem.key} is written at {written}"
    else:
        yield from (f"{item.entry.address} has no instance" for item in outcome.plan.selected if item.instance is None)


def recipes() -> list[Path]:
    """The recipes of the repository."""
    folder = Path(__file__).parents[2] / "conf"
    return sorted(file for file in folder.glob("*.yaml") if file.name not in ("datasets.yaml", "models.yaml"))


def fields(catalog: Catalog) -> dict[str, Option]:
    """Every option of everything that is installed, by its key; of plugins with one place, under the place's name."""
    found = {option.name: option for option in options(RunOptions)}
    for kind in CONFIGURED.values():
        for name, cls in catalog.classes(kind.name).items():
            where = f"{kind.name}.{name}" if kind.many else kind.name
            for option in options(cls):
                found[f"{where}.{option.name}"] = option
                found |= {f"{where}.{option.name}[0].{inner.name}": inner for inner in _inside(option.type)}
    return found


def _inside(annotation: Any) -> list[Option]:
    """The options of the dataclass that a list is of."""
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return [option for argument in arguments for option in _inside(argument)]
    of_list = typing.get_origin(annotation) is list and is_dataclass(arguments[0])
    return options(arguments[0]) if of_list else []


class Generator:
    """Malformed configurations, the same for the same seed, beside all recipes and the data that they name."""

    def __init__(self, seed: int, catalog: Catalog, folder: Path) -> None:
        self._random, self._folder, self._seed = random.Random(seed), folder, seed
        self._fields = sorted(fields(catalog))
        self._names = {kind: catalog.names(kind) for kind in CONFIGURED}

    def make(self) -> tuple[Path, list[str]]:
        """A file, and overrides."""
        recipe = self._random.choice(recipes())
        text = recipe.read_text(encoding="utf-8")
        change = self._random.choice([self._values, self._values, self._lines, self._bytes, self._plugins, self._typed])
        text, overrides = change(text)
        file = self._folder / f"{recipe.stem}_{self._seed}.yaml"
        file.write_bytes(text.encode("utf-8", "surrogatepass"))
        return file, overrides

    def _strange(self) -> str:
        return self._random.choice(STRANGE)

    def _key(self) -> str:
        key = self._random.choice(self._fields)
        if self._random.random() < 0.2:  # misspelt
            place = self._random.randrange(len(key))
            key = key[:place] + self._random.choice("xX_.[0]-é") + key[place + 1 :]
        return key

    def _typed(self, text: str) -> tuple[str, list[str]]:
        """Options on the command line."""
        words = [
            f"{self._key()}{self._random.choice(['=', '=', '=', '+='])}{self._strange()}"
            for _ in range(self._random.randint(1, 4))
        ]
        return text, words

    def _values(self, text: str) -> tuple[str, list[str]]:
        """Other values behind the keys of the file."""
        lines = text.splitlines()
        places = [number for number, line in enumerate(lines) if ":" in line and not line.lstrip().startswith("#")]
        for number in self._random.sample(places, min(len(places), self._random.randint(1, 3))):
            head = lines[number].partition(":")[0]
            lines[number] = f"{head}: {self._strange()}"
        return "\n".join(lines) + "\n", []

    def _lines(self, text: str) -> tuple[str, list[str]]:
        """Lines twice, elsewhere, indented otherwise, or of another file; and files that inherit."""
        lines = text.splitlines()
        for _ in range(self._random.randint(1, 4)):
            number = self._random.randrange(len(lines))
            line = self._random.choice(lines)
            extra = [
                *(
                    line,
                    f"  {line}",
                    f"\t{line}",
                    line.lstrip(),
                    f"{self._key()}: {self._strange()}",
                    "<<: *x",
                    "a: &x [*x]",
                ),
                *(
                    f"defaults: [{self._strange()}]",
                    "defaults: sft_lora.yaml",
                    "x: " + "[" * 500,
                    "- a",
                    "tunesmith: 99.0",
                ),
                *("tracker: {plot: null, console: {metrics: 3}}", "reward: [model, http]", "learning_rate: 1e-4"),
            ]
            lines.insert(number, self._random.choice(extra))
        return "\n".join(lines) + "\n", []

    def _bytes(self, text: str) -> tuple[str, list[str]]:
        """Characters changed, or the end cut off."""
        letters = list(text)
        for _ in range(self._random.randint(1, 12)):
            letters[self._random.randrange(len(letters))] = self._random.choice(":{}[]&*!|>'\"%@`,#-? \t\n\x07é\ufeff0")
        cut = self._random.choice([len(letters), len(letters), self._random.randrange(len(letters))])
        return "".join(letters[:cut]), []

    def _plugins(self, text: str) -> tuple[str, list[str]]:
        """Other plugins, with options that may not be theirs."""
        kinds = self._random.sample(sorted(self._names), 3)
        words = [f"{kind}={self._random.choice([*self._names[kind], self._strange()])}" for kind in kinds]
        return text, [*words, *self._typed(text)[1]]


def furnish(folder: Path) -> None:
    """Put the recipes, and the data that they name, into a folder."""
    for recipe in recipes():
        shutil.copy(recipe, folder)
        for name in re.findall(r"[\w-]+\.jsonl?", recipe.read_text(encoding="utf-8")):
            (folder / name).write_text(json.dumps(RECORD) + "\n", encoding="utf-8")


RECORD = {
    **{"text": "The tide turns.", "prompt": "Who?", "chosen": "A whale.", "rejected": "A boat.", "answer": "A whale."},
    **{"completion": "A whale.", "label": True},
}
"""A record that several stages can read."""
