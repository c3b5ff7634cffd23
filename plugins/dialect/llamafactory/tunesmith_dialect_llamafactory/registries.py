"""The newer files' lists of data sets: YAML of `{NAME: {path, source, split, converter, size, weight}}`.

There `size` examples are drawn of a set, whatever it has, and of these `weight` times as many.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tunesmith.keys import Key

_FORMATS = {"alpaca": "alpaca", "sharegpt": "sharegpt", "pair": "openai"}
_HUBS = {"hf_hub": "huggingface", "ms_hub": "modelscope", "om_hub": "modelers"}
_SAME = ("split", "subset")


def entries_of(value: Any) -> tuple[list[dict[str, Any]], list[str]] | None:
    """The data sets of a list that is a file at hand, as entries of ours; None for any other value.

    Returns: them, and what of the file cannot be had, with its line.
    """
    file = Path(str(value)).expanduser()
    if file.suffix not in (".yaml", ".yml") or not file.is_file():
        return None
    from tunesmith_library_configuration.reading import read_yaml

    tree, origins = read_yaml(file)
    sets = {name: options for name, options in tree.items() if isinstance(options, dict)}
    faults = [
        f"{origins[Key(name, 'weight')]}: weight {options['weight']} of {name} is a share of a number that is not known"
        for name, options in sets.items()
        if options.get("weight", 1) != 1 and _size(options) is None
    ]
    return [_entry(str(name), options, file.parent) for name, options in sets.items()], faults


def _size(options: dict[str, Any]) -> int | None:
    """How many examples are drawn of a set; None for all that it has."""
    size: int | None = options.get("size", options.get("num_samples"))
    return size


def _entry(name: str, options: dict[str, Any], folder: Path) -> dict[str, Any]:
    """One data set; keys that nobody knows stay, to be complained of."""
    known = {"path", "source", "converter", "size", "num_samples", "file_name", "hf_hub_url", "ms_hub_url"}
    entry: dict[str, Any] = {"path": _place(options, folder), "name": name}
    if options.get("converter"):
        entry["format"] = _FORMATS.get(options["converter"], options["converter"])
    size = _size(options)
    if size is not None:
        entry["samples"] = int(size * options.get("weight", 1))
    own = known | {"dataset_dir", "streaming", "weight", *_SAME}
    return {**entry, **{key: value for key, value in options.items() if key in _SAME or key not in own}}


def _place(options: dict[str, Any], folder: Path) -> str:
    for key, hub in (("hf_hub_url", "huggingface"), ("ms_hub_url", "modelscope")):
        if options.get(key):
            return f"{hub}://datasets/{options[key]}"
    path = str(options.get("path", options.get("file_name", "")))
    if options.get("source") in _HUBS:
        return f"{_HUBS[options['source']]}://datasets/{path}"
    if options.get("dataset_dir"):
        path = str(Path(options["dataset_dir"]) / path)
    return path if Path(path).exists() or not (folder / path).exists() else str(folder / path)
