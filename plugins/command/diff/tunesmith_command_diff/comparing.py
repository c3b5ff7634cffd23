"""Every part of two models, one after the other; what cannot be compared is said, and the others still are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tunesmith import TunesmithError

from tunesmith_command_diff.findings import Found, Part
from tunesmith_command_diff.folders import json_files, missing, same_files, unreadable
from tunesmith_command_diff.generating import generation
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
    yield _tried("configuration", lambda: json_files("configuration", *_configurations(a, b)))
    numbers = _tried("tensors", lambda: _tensors(a, b))
    yield numbers
    if any((each.folder / "heads").is_dir() for each in (a, b)):
        yield _tried("heads", lambda: _heads(a.folder / "heads", b.folder / "heads"))
    yield _tried("generation", lambda: generation(a, b))
    # an adapter computes beside its base what the merged model holds rounded
    merged = bool(numbers.equal) and a.is_adapter != b.is_adapter
    yield from _opened(a, b, outputs, [*numbers.facts["rounded"], "float32"] if merged else [])


def _configurations(a: Subject, b: Subject) -> tuple[Path, Path]:
    """An adapter beside a whole model has the configuration of its base."""
    if a.is_adapter == b.is_adapter:
        return a.folder / a.config_file, b.folder / b.config_file
    one, two = ((each.handle.source.path if each.is_adapter else each.folder) / "config.json" for each in (a, b))
    return one, two


def _opened(a: Subject, b: Subject, outputs: bool, rounded: Sequence[str]) -> Iterator[Part]:
    """The parts for which the models have to be opened.

    Args:
        rounded: the numbers that rounding to is all that their tensors differ by; [] where there is more, or nothing.
    """
    names = ("tokenizer", "template", *(("outputs",) if outputs else ()))
    try:
        first, second = a.handle, b.handle
    except Exception as error:  # of whatever reads a tokenizer or a configuration that is damaged
        damaged = [problem for each in (a, b) for problem in unreadable(each.folder)]
        damaged = damaged or missing(a.folder, b.folder, "tokenizer*")
        yield from (Part(name, None, "; ".join(damaged)[:_LONGEST] or _why(error)) for name in names)
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
        yield _tried("outputs", lambda: said(a, b, of_second if told is of_second.texts else texts, rounded))


def _tensors(a: Subject, b: Subject) -> Part:
    from tunesmith_command_diff.holding import in_folder, packing_of, whole
    from tunesmith_command_diff.tensors import tensors

    packed = {name: packing_of(each) for name, each in (("A", a), ("B", b))}
    if any(packed.values()):
        if all(packed.values()):
            codes = tensors("tensors", in_folder(a.folder), in_folder(b.folder))
            if codes.equal:
                return codes
        try:
            return tensors("tensors", whole(a), whole(b))
        except Exception as error:  # of whatever loads few bits
            told = ", ".join(f"{name} is packed as {how}" for name, how in packed.items() if how)
            return Part("tensors", None, f"{told}: compared by outputs only ({_why(error)})")
    if a.is_adapter != b.is_adapter:
        return tensors("tensors", whole(a), whole(b))
    return tensors("tensors", in_folder(a.folder), in_folder(b.folder))


def _heads(first: Path, second: Path) -> Part:
    from tunesmith_command_diff.holding import in_folder
    from tunesmith_command_diff.tensors import tensors

    return tensors("heads", in_folder(first), in_folder(second))


def _tried(name: str, work: Callable[[], Part]) -> Part:
    try:
        return work()
    except Exception as error:  # of whatever reads files that are damaged: the other parts are still compared
        return Part(name, None, _why(error))


def _why(error: Exception) -> str:
    """An error in one line."""
    kind = "" if isinstance(error, TunesmithError) else f"{type(error).__name__}: "
    return f"{kind}{' '.join(str(error).split())}"[:_LONGEST]
