"""`tunesmith new`, `env` and `version`."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path

import click
from tunesmith import __version__
from tunesmith.kinds import KINDS

_LIBRARIES = (
    *("torch", "transformers", "peft", "trl", "datasets", "accelerate", "tokenizers", "safetensors"),
    *("pluggy", "omegaconf", "bitsandbytes", "hqq", "liger-kernel", "flash-attn", "deepspeed"),
)


@click.command()
@click.argument("kind", metavar="KIND")
@click.argument("name", metavar="NAME")
@click.option("-C", "--directory", type=click.Path(path_type=Path), default=Path(), help="Where to write it.")
def new(kind: str, name: str, directory: Path) -> None:
    """Write a new plugin: a complete distribution with README and passing tests."""
    from tunesmith.scaffold import create

    folder = create(kind, name, directory)
    click.echo(f"wrote {folder}\n  pip install -e {folder}\n  python -m pytest {folder}")
    click.echo(f"  tunesmith plugins show {kind}.{name}")


new.epilog = f"KIND is one of: {', '.join(KINDS)}."


@click.command()
def version() -> None:
    """Show the version."""
    click.echo(f"tunesmith {__version__}")


@click.command()
def env() -> None:
    """Show versions and hardware, for a bug report."""
    from tunesmith.catalog import Catalog

    click.echo(f"tunesmith: {__version__}\npython: {platform.python_version()}\nsystem: {platform.platform()}")
    click.echo(f"processors: {os.cpu_count()}")
    for name in _LIBRARIES:
        try:
            click.echo(f"{name}: {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            click.echo(f"{name}: not installed")
    for line in _accelerators():
        click.echo(line)
    distributions = sorted({entry.origin for entry in Catalog.discover().entries()})
    click.echo(f"plugins: {', '.join(distributions) or 'none'}")


def _accelerators() -> list[str]:
    try:
        import torch
    except ImportError:
        return ["accelerators: unknown without torch"]
    if not torch.cuda.is_available():
        return ["accelerators: none"]
    found = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    return [f"accelerator {n}: {item.name}, {item.total_memory / 2**30:.0f} GiB" for n, item in enumerate(found)]
