"""The commands that look at data sets before a stage encodes them: check, contamination, convert, stats, sample, list,
cache, annotate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

words = click.argument("words", nargs=-1, required=True, metavar="DATA... [KEY=VALUE]...")
tokenizer = click.option("--tokenizer", "--model", metavar="MODEL", help="Count tokens of this model, not characters.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command("check")
@words
@click.option("--eval", "held_out", multiple=True, metavar="DATA", help="Is measured on: no row may be in the others.")
@click.option("--benchmark", multiple=True, metavar="DATA", help="The same, whatever its columns; not checked itself.")
@tokenizer
@click.option("--max-length", type=click.IntRange(min=1), help="How long rows may be: in tokens, or in characters.")
@click.option("--only", multiple=True, metavar="CHECK", help="This check alone; may be repeated.")
@click.option("--ignore", multiple=True, metavar="CHECK", help="Not this check; may be repeated.")
@click.option("--show", type=click.IntRange(min=0), default=5, show_default=True, help="Findings of each check.")
@click.option("--fix", "out", type=click.Path(path_type=Path), metavar="OUT", help="Write the rows without them here.")
@as_json
def check(words: tuple[str, ...], as_json: bool, show: int, **options: Any) -> None:
    """Look for what is wrong with training data.

    DATA are files, folders, patterns, hub addresses or known names, and what is written as KEY=VALUE is said of each:
    format=alpaca, columns.prompt=question, split=test. The exit code is 1 where there are errors.

    With --fix, rows with errors and rows that are there twice are left out, and secrets and personal data are masked.

    \b
    tunesmith data check train.json --eval test.json --tokenizer Qwen/Qwen3-4B --max-length 4096
    """
    from tunesmith_command_data import checking

    lengths = checking.standard_lengths(options["tokenizer"], options["max_length"])
    chosen, ignored = options["only"], options["ignore"]
    linter = checking.lint(words, options["held_out"], options["benchmark"], lengths, chosen, ignored)
    checking.report(linter, as_json, show)
    if options["out"]:
        checking.fix(linter, words, options["out"])
    click.get_current_context().exit(1 if linter.errors else 0)


@click.command("contamination")
@words
@click.option("--eval", "held_out", multiple=True, metavar="DATA", help="Is measured on; read like the others.")
@click.option("--benchmark", multiple=True, metavar="DATA", help="The same, whatever its columns: all its texts.")
@click.option(
    "-n", "run", type=click.IntRange(1, 1000), default=13, show_default=True, help="Words that are the same in a row."
)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.7,
    show_default=True,
    help="Share of an example.",
)
@click.option("--show", type=click.IntRange(min=0), default=5, show_default=True, help="Examples of each set.")
@as_json
def contamination(words: tuple[str, ...], as_json: bool, show: int, **options: Any) -> None:
    """Tell how much of evaluation sets stands in training data.

    DATA are training sets, named as in `data check`. Of each example it is told which share of its runs of 13 words (in
    Chinese and Japanese, characters) some training row has. The exit code is 1 where an example reaches the threshold.

    \b
    tunesmith data contamination train.json --eval test.json --benchmark mmlu/test.csv
    """
    from tunesmith_command_data import contaminated

    found = contaminated.look(words, options["held_out"], options["benchmark"], options["run"])
    contaminated.report(found, options["threshold"], options["run"], as_json, show)
    context = click.get_current_context()
    context.exit(1 if any(overlap.over(options["threshold"]) for overlap in found.overlaps.values()) else 0)


@click.command("convert")
@click.argument("data")
@click.argument("out", type=click.Path(path_type=Path))
@click.argument("words", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--to", "format", required=True, metavar="FORMAT", help="alpaca, openai, sharegpt, text, or another's.")
@click.pass_context
def convert(context: click.Context, data: str, out: Path, words: tuple[str, ...], format: str) -> None:
    """Write a data set in another format, as .jsonl or .json, also with .gz.

    Rows that the format has no place for are counted and left out, and the exit code is 1 then.

    \b
    tunesmith data convert alpaca.json chat.jsonl --to openai
    """
    from tunesmith_command_data import converting

    context.exit(1 if converting.convert([data, *words], out, format) else 0)


@click.command("stats")
@words
@tokenizer
@as_json
def stats(words: tuple[str, ...], tokenizer: str | None, as_json: bool) -> None:
    """Count rows, messages, answers, calls, media, labels, languages and lengths.

    \b
    tunesmith data stats train.json --tokenizer Qwen/Qwen3-4B
    """
    from tunesmith_command_data import converting
    from tunesmith_command_data.inputs import measuring

    converting.stats(words, measuring(tokenizer), as_json)


@click.command("sample")
@words
@click.option("-n", "--count", type=click.IntRange(min=1), default=3, show_default=True, help="How many rows.")
@click.option("--seed", type=int, default=0, show_default=True, help="Another one draws other rows.")
@as_json
def sample(words: tuple[str, ...], count: int, seed: int, as_json: bool) -> None:
    """Print rows drawn at random, in canonical form.

    \b
    tunesmith data sample train.json -n 5
    """
    from tunesmith_command_data import converting

    converting.sample(words, count, seed, as_json)


@click.command("list")
@click.option("--registry", metavar="FILE", help="The file of named data sets; conf/datasets.yaml where none is given.")
def listed(registry: str | None) -> None:
    """List the data sets that are known by name, also those of a dataset_info.json here or in data/."""
    from tunesmith_command_data import converting

    converting.known(registry)


@click.command("cache")
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--older", type=click.FloatRange(min=0), metavar="DAYS", help="What was not used for so long.")
@click.option("--larger", metavar="SIZE", help="What takes more room: 500M, 2G.")
@click.option("--damaged", is_flag=True, help="What is not as it was written; every byte is read.")
@click.option("--leftovers", is_flag=True, help="What killed processes left half written.")
@click.option("--unused", is_flag=True, help="What no run would take: of other versions, or of files that changed.")
@click.option("--all", "everything", is_flag=True, help="Everything.")
@click.option("--prune", is_flag=True, help="Delete what is chosen; without it, it is only shown.")
@as_json
def cache(folder: Path | None, larger: str | None, prune: bool, as_json: bool, **chosen: Any) -> None:
    """List encoded data sets, unpacked archives and downloads from object stores; delete some.

    FOLDER is one of encoded data sets, as data.cache_dir and --output name it; without it, it is the user's cache. What
    a run reads or makes at the moment stays.

    \b
    tunesmith data cache
    tunesmith data cache --unused --older 30 --prune
    """
    from tunesmith_library_caching.pruning import Choice

    from tunesmith_command_data import keeping

    choice = Choice(larger=keeping.size_in_bytes(larger) if larger else None, **chosen)
    keeping.cache(folder, choice, prune, as_json)


@click.command("annotate")
@click.argument("file")
@click.option("--by", "author", metavar="NAME", help="Who judges; the user's name by default.")
@click.option("--from", "start", type=click.IntRange(min=1), metavar="ROW", help="Begin here, not where you stopped.")
@click.option("--all", "everything", is_flag=True, help="Show rows that you judged already, too.")
@click.option(
    "--runs", type=click.Path(path_type=Path), default="runs", show_default=True, help="The web page's folder of runs."
)
@click.option(
    "--save",
    "what",
    type=click.Choice(["edits", "labels", "preferences"]),
    help="Write what was judged as a version beside the file, and judge nothing.",
)
@click.option("--only-judged", is_flag=True, help="With --save: leave out rows that nobody judged.")
def annotate(file: str, author: str | None, start: int | None, everything: bool, runs: Path, **saving: Any) -> None:
    """Judge the rows of FILE at the terminal, a key each: good or bad, the better of two answers, a correction.

    The file itself stays as it is: what is said is noted beside the runs, where the web page started with the same
    folder of runs has it too, and written as a version where that is asked for.

    \b
    tunesmith data annotate chats.jsonl --by anna
    tunesmith data annotate chats.jsonl --save labels
    """
    import getpass

    from tunesmith_command_data import annotating

    name = getpass.getuser() if author is None else author.strip()
    if saving["what"]:
        annotating.save(file, name, runs, **saving)
    else:
        annotating.annotate(file, name, runs, start, everything)


@click.command("answer", hidden=True)
def answer() -> None:
    """Answer requests, a line of JSON each, until there are no more: for a page that wants answers in a second."""
    import sys

    from tunesmith_command_data.answering import answer_all

    answer_all(sys.stdin, sys.stdout)


COMMANDS = (check, contamination, convert, stats, sample, listed, cache, annotate, answer)
