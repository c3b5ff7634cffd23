"""Which data sets the words of a command line name, and what is counted of their rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tunesmith import TunesmithError
from tunesmith.assemble import assemble
from tunesmith.compose import compose
from tunesmith.pipeline import model_source
from tunesmith_library_chat import tokenizer_of
from tunesmith_library_linting import Measure, Take, TooLong, read_set

MESSAGES = (
    "{path} is of no known format; found: {found}.",
    "{path} is of no known format; found: {found}",
    "write format=NAME and say with columns where its fields are",
    "write format=NAME and say with columns where its fields are, such as",
)


def entries_of(words: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """Paths, and what is said of all of them: `train.json format=alpaca columns.prompt=question`.

    Raises: TunesmithError when there is no path, and for a configuration.
    """
    from omegaconf import OmegaConf

    paths = [word for word in words if "=" not in word]
    if not paths:
        raise TunesmithError("no data set is named\n  write a file, a folder, a pattern, a hub address or a known name")
    for path in paths:
        if path.endswith((".yaml", ".yml")) and Path(path).is_file():
            raise TunesmithError(f"{path} is a configuration, and this command takes data sets.\n  {_sets_of(path)}")
    options = OmegaConf.to_container(OmegaConf.from_dotlist([word for word in words if "=" in word]))
    assert isinstance(options, dict)
    return paths, {str(name): value for name, value in options.items()}


def _sets_of(config: str) -> str:
    """The data sets of a configuration, as they are to be named."""
    data = compose(Path(config)).tree.get("data") or {}
    entries = [entry for name in ("train", "eval") for entry in data.get(name) or []]
    paths = dict.fromkeys(str(entry.get("path") if isinstance(entry, Mapping) else entry) for entry in entries)
    return f"name what it trains and is measured on: {' '.join(paths)}" if paths else "it names no data sets"


def named(paths: Iterable[str]) -> dict[str, str]:
    """Paths by the name that they are given in what is printed: the last part, or all of it where two have the same."""
    listed = list(dict.fromkeys(paths))
    lasts = [path.rstrip("/").rsplit("/", 1)[-1] for path in listed]
    return {last if lasts.count(last) == 1 else path: path for last, path in zip(lasts, listed, strict=True)}


def read(path: str, name: str, options: Mapping[str, Any], take: Take, raw: bool = False) -> str:
    """Read one data set, see `read_set`."""
    return read_set({**options, "path": path}, name, take, raw=raw)


def measuring(tokenizer: str | None, most: int | None = None) -> TooLong:
    """What measures rows: in tokens where there is a tokenizer, else in characters."""
    return TooLong(most=most) if tokenizer is None else TooLong("tokens", _tokens(tokenizer), most)


def _tokens(path: str) -> Measure:
    """Counts tokens of a text, without those that a template adds.

    A tokenizer that is here is read by itself; a model's on a hub as a run reads it.
    """
    here = Path(path).expanduser()
    file = here / "tokenizer.json" if here.is_dir() else here
    if file.is_file() and file.suffix == ".json":
        return _tokens_of_file(file)
    run = assemble(compose({"model": {"path": path}}), "load")
    tokenizer = tokenizer_of(run.hook.load_processor(source=model_source(run, training=False)))

    def count(texts: Sequence[str]) -> list[int]:
        return [len(ids) for ids in tokenizer(list(texts), add_special_tokens=False)["input_ids"]] if texts else []

    return count


def _tokens_of_file(file: Path) -> Measure:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # of no class of its own
        raise TunesmithError(f"{file} is no tokenizer: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def count(texts: Sequence[str]) -> list[int]:
        return [len(made.ids) for made in tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    return count
