"""Every part of two models, one after the other; what cannot be compared is said, and the others still are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from tunesmith import TunesmithError

from tunesmith_command_diff.findings import Found, Part
from tunesmith_command_diff.folders import json_files, same_files
from tunesmith_command_diff.subjects import Subject, subject_of

_LONGEST = 400  # characters of why a part could not be compared


def compared(first: str, second: str, *, outputs: bool = True) -> Found:
    """Compare two runs, models or adapters.

    Args:
        outputs: whether to load them and compare what they say; of folders that are equal bit for bit nobody need.

    Raises: TunesmithError when one of them is nothing that can be compared.
    """
    a, b = subject_of(first), subject_of(second)
    count = same_files(a.folder, b.folder)
    if count is not None:
        what = "the same folder" if a.folder.resolve() == b.folder.resolve() else "the same, bit for bit"
        return Found(first, second, (Part("files", True, f"all {count} are {what}", (), {"files": count}),))
    return Found(first, second, tuple(_parts(a, b, outputs)))


def _parts(a: Subject, b: Subject, outputs: bool) -> Iterator[Part]:
    if a.is_adapter != b.is_adapter:
        kinds = {True: "an adapter", False: "a whole model"}
        told = f"A is {kinds[a.is_adapter]}, B {kinds[b.is_adapter]}"
        yield Part("tensors", None, f"{told}: tunesmith export writes the whole model of an adapter")
    else:
        yield _tried(
            "configuration", lambda: json_files("configuration", a.folder / a.config_file, b.folder / b.config_file)
        )
        yield _tried("tensors", lambda: _tensors("tensors", a.folder, b.folder))
        if any((each.folder / "heads").is_dir() for each in (a, b)):
            yield _tried("heads", lambda: _tensors("heads", a.folder / "heads", b.folder / "heads"))
    files = [_generation(each) for each in (a, b)]
    yield _tried("generation", lambda: json_files("generation", *files))
    yield from _opened(a, b, outputs)


def _generation(subject: Subject) -> Path:
    """What an adapter does not say its base does."""
    own = subject.folder / "generation_config.json"
    if own.is_file() or not subject.is_adapter:
        return own
    try:
        return subject.handle.source.path / own.name
    except TunesmithError:
        return own


def _opened(a: Subject, b: Subject, outputs: bool) -> Iterator[Part]:
    """The parts for which the models have to be opened."""
    names = ("tokenizer", "template", *(("outputs",) if outputs else ()))
    try:
        first, second = a.handle, b.handle
    except Exception as error:  # of whatever reads a tokenizer or a configuration that is damaged
        yield from (Part(name, None, _why(error)) for name in names)
        return
    from tunesmith_library_proving.texts import texts_of

    from tunesmith_command_diff import words
    from tunesmith_command_diff.outputs import outputs as said

    texts = texts_of(first)
    of_second = texts if texts.origin == "the run's data" else texts_of(second)
    told = of_second.texts if of_second.origin == "the run's data" else texts.texts
    yield _tried("tokenizer", lambda: words.tokenizers(first, second, told))
    yield _tried("template", lambda: words.templates(first, second, told))
    if outputs:
        yield _tried("outputs", lambda: said(a, b, of_second if told is of_second.texts else texts))


def _tensors(name: str, first: Path, second: Path) -> Part:
    from tunesmith_command_diff.tensors import tensors

    return tensors(name, first, second)


def _tried(name: str, work: Callable[[], Part]) -> Part:
    try:
        return work()
    except Exception as error:  # of whatever reads files that are damaged: the other parts are still compared
        return Part(name, None, _why(error))


def _why(error: Exception) -> str:
    """An error in one line."""
    kind = "" if isinstance(error, TunesmithError) else f"{type(error).__name__}: "
    return f"{kind}{' '.join(str(error).split())}"[:_LONGEST]
