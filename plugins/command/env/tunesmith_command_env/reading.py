"""Facts about an installation: the system, the libraries that plugins ask for, the accelerators, the plugins."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
from collections.abc import Iterable, Iterator

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from tunesmith import TunesmithError, __version__
from tunesmith.catalog import Catalog, Entry

_VARIABLES = ("CUDA_VISIBLE_DEVICES", "HF_HUB_OFFLINE", "OMP_NUM_THREADS", "TUNESMITH_PLUGINS", "WORLD_SIZE")
"""Settings that change how a run behaves, and are no secrets."""


def facts(catalog: Catalog | None = None) -> Iterator[tuple[str, str]]:
    """What there is, by name.

    Args:
        catalog: the plugins; by default all that are installed.
    """
    catalog = catalog or Catalog.discover()
    distributions = {entry.distribution: entry.origin for entry in catalog.entries()}
    yield "tunesmith", __version__
    yield "python", platform.python_version()
    yield "system", platform.platform()
    yield "processors", str(os.cpu_count())
    yield from _memory()
    yield from _libraries(["tunesmith", *distributions])
    yield from _accelerators()
    yield from ((name, os.environ[name]) for name in _VARIABLES if name in os.environ)
    yield "plugins", ", ".join(sorted(distributions.values())) or "none"
    yield from ((f"broken {entry.address}", cause) for entry in catalog.entries() if (cause := _cause(catalog, entry)))


def _cause(catalog: Catalog, entry: Entry) -> str:
    """Why a plugin cannot be imported; "" for one that can."""
    try:
        catalog.load(entry)
    except TunesmithError as error:
        return str(error).splitlines()[0]
    return ""


def _memory() -> Iterator[tuple[str, str]]:
    """The size of the memory, where the system tells it."""
    with contextlib.suppress(AttributeError, OSError, ValueError):
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        yield "memory", f"{size / 2**30:.0f} GiB"


def _libraries(distributions: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The versions of what distributions ask for, the project's own left out; of extras only what is there."""
    needed: set[str] = set()
    optional: set[str] = set()
    for distribution in distributions:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError, InvalidRequirement):
            for requirement in map(Requirement, importlib.metadata.requires(distribution) or ()):
                extra = requirement.marker is not None and "extra" in str(requirement.marker)
                (optional if extra else needed).add(canonicalize_name(requirement.name))
    for name in sorted(needed | optional):
        if name == "tunesmith" or name.startswith("tunesmith-"):
            continue
        try:
            yield name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            if name in needed:
                yield name, "not installed"


def _accelerators() -> Iterator[tuple[str, str]]:
    try:
        import torch
    except ImportError:
        yield "accelerators", "unknown without torch"
        return
    if not torch.cuda.is_available():
        mps = getattr(torch.backends, "mps", None)
        yield "accelerators", "mps" if mps and mps.is_available() else "none"
        return
    yield "cuda", str(torch.version.cuda or torch.version.hip)
    for index in range(torch.cuda.device_count()):
        found = torch.cuda.get_device_properties(index)
        yield (
            f"accelerator {index}",
            f"{found.name}, {found.total_memory / 2**30:.0f} GiB, sm_{found.major}{found.minor}",
        )
