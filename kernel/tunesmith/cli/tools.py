"""`tunesmith env` and `version`."""

from __future__ import annotations

import importlib.metadata
import os
import platform

import click
from tunesmith import __version__

_LIBRARIES = (
    *("torch", "transformers", "peft", "trl", "datasets", "accelerate", "tokenizers", "safetensors"),
    *("pluggy", "omegaconf", "bitsandbytes", "hqq", "liger-kernel", "flash-attn", "deepspeed"),
)


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
