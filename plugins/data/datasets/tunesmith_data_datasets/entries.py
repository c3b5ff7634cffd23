"""What a user writes for one data set, and how names are looked up in the registry."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from tunesmith.addresses import hub_of
from tunesmith.errors import ConfigError, choices
from tunesmith.keys import Key, Origins, nearest_origin
from tunesmith.ranges import above, at_least, filled, path_like
from tunesmith.types import Problem
from tunesmith_library_configuration.reading import read_yaml
from tunesmith_library_configuration.recipes import find_recipe
from tunesmith_library_formats import KEPT
from tunesmith_library_formats.dataset_info import beside, is_dataset_info, sets_in

_GLOB = frozenset("*?[")


@dataclass(kw_only=True)
class Entry:
    """One data set; a plain string is its path."""

    SHORTHAND: ClassVar[str] = "path"
    known_as: ClassVar[dict[str, str]] = {
        **dict.fromkeys(("num_samples", "samples_per_epoch", "size", "n_samples"), "samples"),
        **dict.fromkeys(("probability", "interleave_probs", "fraction", "ratio", "proportion"), "weight"),
    }

    # file, folder, pattern (data/*.jsonl), hub address (org/name), or name in the registry
    path: Annotated[str, path_like]
    name: Annotated[str | None, filled] = None  # in messages and metrics; null takes it from the path
    # an installed format's name; auto asks them all about the first record, of a hub's when it is there
    format: Annotated[str, filled] = "auto"
    split: Annotated[str | None, filled] = None  # of a folder or hub data set; null is train, or the only one
    subset: Annotated[str | None, filled] = None  # configuration of a hub data set
    revision: Annotated[str | None, filled] = None  # branch, tag or commit of a hub data set; null is the hub's default
    columns: dict[str, str] = field(default_factory=dict)  # the format's field: the data set's column
    tags: dict[str, str] = field(default_factory=dict)  # names inside a conversation: role_tag, user_tag …
    # further columns that rows keep, for rewards and evaluators: [solution, vote]
    keep: list[Annotated[str, filled]] = field(default_factory=list)
    # folder of the images, videos and sounds that rows name; what is not there is looked for beside the data file
    media_dir: Annotated[str | None, path_like] = None
    # "bbox_2d" and "point_2d" that texts have in JSON: as the model is to write them, or in pixels of the image's file,
    # from which they are brought to the model's coordinates
    boxes: Literal["written", "pixels"] = "written"
    sample_by: Literal["line", "document"] = "line"  # what of a text file is one record
    # use only the first records; null goes by data.max_samples
    max_samples: Annotated[int | None, at_least(1, most=1_000_000_000)] = None
    # examples of it in an epoch: of a larger set some are drawn, a smaller one is repeated; null takes each once
    samples: Annotated[int | None, at_least(1, most=1_000_000_000)] = None
    weight: Annotated[float, above(0, most=1_000_000)] = 1.0  # share in an interleaved mix, relative to the other sets

    @property
    def names(self) -> dict[str, str]:
        """All that a format is told of columns: `columns`, `tags`, and those to keep."""
        return {**self.columns, **self.tags, **{KEPT + name: name for name in self.keep}}


def options_of_reading(format: str, entry: Entry, max_samples: int | None, batch_size: int) -> str:
    """The digest of how records of a format become rows."""
    reading = [format, entry.names, entry.sample_by, entry.boxes, max_samples, batch_size]
    return hashlib.sha256(json.dumps(reading, sort_keys=True, default=str).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Source:
    """An entry with its registry values filled in."""

    key: str  # data.train[0]
    name: str
    entry: Entry

    @property
    def base(self) -> str:
        """The path up to the first pattern."""
        return split_pattern(self.entry.path)[0]

    @property
    def pattern(self) -> str | None:
        return split_pattern(self.entry.path)[1]

    def hub(self, default: str) -> str:
        """The name of the hub that has it; `local` for a file."""
        return hub_of(self.base, default)[0]


def split_pattern(path: str) -> tuple[str, str | None]:
    """Cut a path before its first part with a wildcard: `data/*/a.json` is `data` and `*/a.json`."""
    parts = path.split("/")
    wild = next((index for index, part in enumerate(parts) if _GLOB & set(part)), None)
    if wild is None:
        return path, None
    base = "/".join(parts[:wild])
    return base or ("/" if path.startswith("/") else "."), "/".join(parts[wild:])


class Registry(dict[str, Any]):
    """Entries by name, and where each value is written."""

    origins: Origins = types.MappingProxyType({})


def find_registry(path: str) -> Path | None:
    """A registry's file, or that of its name among the installed recipes; None where there is none."""
    here = Path(path).expanduser()
    return here if here.is_file() else find_recipe(here)


def read_registry(path: str) -> Registry:
    """The entries of a registry file by name, or of the one of that name among the installed recipes; else none.

    LLaMA-Factory's `dataset_info.json` is one, too.

    Raises: ConfigError when it is not a YAML mapping.
    """
    file = find_registry(path)
    if file is None:
        return Registry()
    content, origins = read_yaml(file)
    if is_dataset_info(content):
        content = sets_in(content)
    registry = Registry(content)
    registry.origins = origins
    return registry


def resolve(entry: Entry, key: str, registry: Registry, file: str) -> tuple[Source, list[Problem]]:
    """Look an entry up in the registry; what the user wrote wins over what stands there.

    Args:
        entry: as written.
        key: where it is written, `data.train[0]`.
        registry: what `read_registry` gave.
        file: where that is; relative paths in it start at its folder.
    """
    name = entry.path
    if name not in registry and not Path(name).exists():
        name, registry, file = _beside(name, registry, file)
    if name not in registry or Path(entry.path).exists():
        return Source(key, entry.name or _name_of(entry.path), entry), []
    found, problems = _registered(name, registry, file)
    if found is None:
        return Source(key, entry.name or entry.path, entry), problems
    defaults = Entry(path=entry.path)
    written = {f.name: getattr(entry, f.name) for f in dataclasses.fields(Entry)}
    changed = {name: value for name, value in written.items() if value != getattr(defaults, name)}
    merged = dataclasses.replace(found, **changed)
    return Source(key, merged.name or name, merged), problems


def _beside(path: str, registry: Registry, file: str) -> tuple[str, Registry, str]:
    """The name, the registry and its file, where a `dataset_info.json` knows what the registry does not."""
    found, name = beside(path), path.rsplit("/", 1)[-1]
    if found is None or name not in names_in(found):
        return path, registry, file
    return name, read_registry(str(found)), str(found)


def names_in(info: Path) -> list[str]:
    """The data sets that a `dataset_info.json` names; none in one that is another program's, or damaged."""
    try:
        known = read_registry(str(info))
        return [name for name, values in known.items() if isinstance(values, Mapping) and "path" in values]
    except ConfigError:  # nobody asked for it
        return []


def _registered(name: str, registry: Registry, file: str) -> tuple[Entry | None, list[Problem]]:
    from omegaconf import OmegaConf
    from tunesmith.validate import structured

    values = registry[name]
    values = {Entry.SHORTHAND: values} if isinstance(values, str) else values
    if isinstance(values, Mapping) and values.get("path") == "":
        message = f"{file}: {name} is made by a script (script_url), which is not run."
        return None, [Problem("data.registry", message, "save what it makes as JSON Lines, and name that file")]
    if not isinstance(values, Mapping):
        return None, [Problem("data.registry", f"{file}: {name} must be a path or a mapping.")]
    node, problems = structured(Entry, values, (name,), f"{file}: {name}", registry.origins)
    if problems:
        places = [nearest_origin(Key.of(problem.key), registry.origins) for problem in problems]
        return None, [
            dataclasses.replace(problem, key="data.registry", advice=f"{problem.advice}\n{place or file}")
            for problem, place in zip(problems, places, strict=True)
        ]
    entry: Any = OmegaConf.to_object(node)
    folder = Path(file).expanduser().parent
    beside = folder / split_pattern(entry.path)[0]
    if "://" not in entry.path and (beside.exists() or hub_of(entry.path)[0] == "local"):
        entry.path = str(folder / entry.path)
    if entry.media_dir is not None:
        entry.media_dir = str(folder / Path(entry.media_dir).expanduser())
    return entry, []


def is_unknown_name(source: Source, default_hub: str) -> bool:
    """Whether a path is a plain name that no registry has, and no file."""
    return "/" not in source.entry.path and source.pattern is None and source.hub(default_hub) != "local"


def unknown_name(source: Source, registry: Registry, file: str) -> Problem:
    """The problem of such a name, with those that the registry has."""
    path = source.entry.path
    missing = f"there is no {file} (looked from {Path.cwd()})"
    known = choices(path, registry, f"in {file}") if registry else missing
    message = f"{source.key}: {path} is no file and no known data set."
    return Problem(f"{source.key}.path", message, f"{known}\na hub address looks like org/name")


def _name_of(path: str) -> str:
    base, pattern = split_pattern(path.rstrip("/"))
    name = Path(base).resolve().name if base in (".", "..") else base.rsplit("/", 1)[-1]
    if pattern is None and "." in name.strip("."):
        name = name[: name.index(".", 1)]
    return name
