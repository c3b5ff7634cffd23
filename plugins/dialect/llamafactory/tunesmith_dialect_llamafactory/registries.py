"""The newer files' lists of data sets: YAML of `{NAME: {path, source, split, converter, size, weight}}`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_FORMATS = {"alpaca": "alpaca", "sharegpt": "sharegpt", "pair": "openai"}
_HUBS = {"hf_hub": "huggingface", "ms_hub": "modelscope", "om_hub": "modelers"}
_SAME = ("split", "subset", "weight")


def entries_of(value: Any) -> list[dict[str, Any]] | None:
    """The data sets of a list that is a file at hand, as entries of ours; None for any other value."""
    file = Path(str(value)).expanduser()
    if file.suffix not in (".yaml", ".yml") or not file.is_file():
        return None
    from tunesmith_library_configuration.reading import read_yaml

    tree, _ = read_yaml(file)
    return [_entry(str(name), options, file.parent) for name, options in tree.items() if isinstance(options, dict)]


def _entry(name: str, options: dict[str, Any], folder: Path) -> dict[str, Any]:
    """One data set; keys that nobody knows stay, to be complained of."""
    known = {"path", "source", "converter", "size", "num_samples", "file_name", "hf_hub_url", "ms_hub_url"}
    entry: dict[str, Any] = {"path": _place(options, folder), "name": name}
    if options.get("converter"):
        entry["format"] = _FORMATS.get(options["converter"], options["converter"])
    size = options.get("size", options.get("num_samples"))
    if size is not None:
        entry["max_samples"] = size
    own = known | {"dataset_dir", "streaming", *_SAME}
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
