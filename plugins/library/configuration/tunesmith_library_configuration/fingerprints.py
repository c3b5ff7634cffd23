"""What encoded examples depend on beside their records, as digests by name: how text is read, the template, the code
and options of what encodes, the libraries that do the work.

Places and times do not count: the same contents have the same digests on another machine.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import importlib.util
import json
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tunesmith_library_configuration.files import digest

Parts = dict[str, str]
"""Digests and versions by the name of what they are of."""

_READ = (".json", ".jinja", ".model", ".txt", ".py", ".tiktoken", ".bpe", ".vocab")  # files that may tell how to read
# those of a model's folder that tell nothing of it; `config.json` is of the weights, and the class of the tokenizer,
# which it may choose, counts by itself
_OTHER = re.compile(
    r"\..*|.*\.index\.json|(config|generation_config|adapter_config|quantiz\w+_config|base_weights|complete|modelcard|"
    r"\w*_?results|\w*state|training_args|requirements|readme|license|notice)\.(json|txt)",
    re.IGNORECASE,
)
_LIBRARIES = ("transformers", "tokenizers", "jinja2", "sentencepiece", "tiktoken")
_SOURCES = (".py", ".jinja", ".json", ".yaml", ".txt")
_LENT = re.compile(rb"\btunesmith_library_[a-z_]+")
_MACHINERY = ("normalizer", "pre_tokenizer", "post_processor", "decoder")  # of a tokenizer in Rust


MESSAGES = (
    "code of {name}",
    "options of {name}",
    "options of the processor",
    "control tokens",
    "first rows",
)


def encoding_parts(folder: Path, processor: Any, template: Any, plugins: Mapping[str, Any]) -> Parts:
    """All that the encoding of a canonical row depends on.

    Args:
        folder: of the model; its weights do not count.
        processor: the tokenizer, or a processor that has one.
        template: a frozen dataclass, whose values of plain types count, or whatever has `jinja` and `variables`.
        plugins: those that take part, by their names.
    """
    parts = {"tokenizer": _hashed(_reader(folder, processor)), "template": _hashed(_plain_values(template))}
    options = getattr(getattr(processor, "tokenizer", processor), "encoding_options", None)
    if options is not None:  # of a model plugin: what else decides how many tokens there are, such as sizes of images
        parts["options of the processor"] = _hashed(options)
    return parts | plugin_parts(plugins) | versions()


def plugin_parts(plugins: Mapping[str, Any]) -> Parts:
    """The options and the code of plugins."""
    parts = {}
    for name, plugin in sorted(plugins.items()):
        parts[f"options of {name}"] = options_of(plugin)
        parts[f"code of {name}"] = code_of(_packages(type(plugin)))
    return parts


def options_of(plugin: Any) -> str:
    """The digest of a plugin's options.

    Those that a class or a base of it names in `beside_encoding` do not count, nor what an instance remembers.
    """
    beside = {n for base in type(plugin).__mro__ for n in vars(base).get("beside_encoding", ())}
    names = [f.name for f in dataclasses.fields(plugin)] if dataclasses.is_dataclass(plugin) else []
    return _hashed({n: getattr(plugin, n) for n in names if not n.startswith("_") and n not in beside})


def _packages(cls: type) -> list[str]:
    """The package of a class, and those of ours that its bases are from."""
    names = [base.__module__.partition(".")[0] for base in cls.__mro__]
    return [name for name in names if name == names[0] or name.startswith("tunesmith_")]


def versions() -> Parts:
    """The libraries that render and tokenise."""
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def code_of(packages: Iterable[str]) -> str:
    """The digest of the sources of packages or modules, and of the project's libraries that those name."""
    waiting, seen = [*dict.fromkeys(packages)], {"builtins"}
    found: dict[str, str] = {}
    while waiting:
        name = waiting.pop()
        if name in seen or name in sys.stdlib_module_names:
            continue
        seen.add(name)
        for label, file in _sources(name):
            content = file.read_bytes()
            found[label] = hashlib.blake2b(content, digest_size=16).hexdigest()
            waiting += sorted({lent.decode() for lent in _LENT.findall(content)} - seen)
    return _hashed(found)


def together(parts: Mapping[str, str]) -> str:
    """One digest of all of them."""
    return _hashed(parts)


def _sources(name: str) -> list[tuple[str, Path]]:
    """The files of a package, or that of a module, with names that do not tell where they are."""
    module = sys.modules.get(name)
    spec = getattr(module, "__spec__", None) or (None if module else importlib.util.find_spec(name))
    folders = list(getattr(spec, "submodule_search_locations", None) or ())
    files = [
        (f"{name}/{path.relative_to(folder).as_posix()}", path)
        for folder in map(Path, folders)
        for path in sorted(folder.rglob("*"))
        if path.suffix in _SOURCES and path.is_file() and "__pycache__" not in path.parts
    ]
    alone = getattr(spec, "origin", None) or getattr(module, "__file__", None)
    return files if folders else [(Path(alone).name, Path(alone))] if alone and Path(alone).is_file() else []


def _reader(folder: Path, processor: Any) -> dict[str, Any]:
    """What a tokenizer is made of: its files, and what was done to it since."""
    tokenizer = getattr(processor, "tokenizer", processor)
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    files = {
        path.name: digest(path)
        for path in paths
        if path.suffix in _READ and path.is_file() and not _OTHER.fullmatch(path.name)
    }
    backend = getattr(tokenizer, "backend_tokenizer", None)
    machinery = {name: getattr(backend, name, None) for name in _MACHINERY}
    return {
        "files": files,
        "classes": [type(each).__qualname__ for each in (processor, tokenizer)],
        "added": getattr(tokenizer, "get_added_vocab", dict)(),
        "special": getattr(tokenizer, "special_tokens_map", None),
        "machinery": {n: part.__getstate__().decode() for n, part in machinery.items() if part is not None},
    }


def _plain_values(template: Any) -> dict[str, Any]:
    fields = dataclasses.fields(template) if dataclasses.is_dataclass(template) else ()
    values = {field.name: getattr(template, field.name) for field in fields if field.name != "name"}
    found: dict[str, Any] = {
        name: value for name, value in values.items() if isinstance(value, str | int | float | tuple | Mapping)
    }
    found |= {name: getattr(template, name, None) for name in ("jinja", "variables")}
    return found | {"control": getattr(getattr(template, "control", None), "tokens", ())}


def _hashed(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=_as_json)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _as_json(value: Any) -> Any:
    """What JSON does not know, without the addresses of objects, which are others each time."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if not f.name.startswith("_")}
    return getattr(value, "__qualname__", None) or re.sub(r" at 0x[0-9a-f]+", "", str(value))
