"""Models and data sets on Modelers (https://modelers.cn), the hub of openMind, kept in its own cache."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from tunesmith import TunesmithError, hookimpl, plugin
from tunesmith.ranges import filled, path_like

# What a model's repository holds beside safetensors: the same weights for other programs.
OTHER_WEIGHTS = (".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".ot", ".onnx", ".gguf", ".tflite")


@plugin
class Modelers:
    """Downloads `org/name`, or one file or folder of it (`org/name/data/train`); later runs find it in the cache.

    An address that begins with `datasets/` is a data set. `USE_OPENMIND_HUB=1` makes this the hub of addresses without
    scheme. Of a model that has safetensors, the same weights in other forms are left out. Files are compared with their
    checksums, and a download that was cut goes on. The token comes from `OPENMIND_TOKEN`. Needs the package
    openmind_hub.
    """

    guarded: ClassVar[tuple[str, ...]] = ("endpoint",)  # the token is sent there

    # address of the server; null is OPENMIND_HUB_ENDPOINT, else Modelers
    endpoint: Annotated[str | None, filled] = None
    cache_dir: Annotated[str | None, path_like] = None  # folder of downloads; null is the hub's own

    @hookimpl
    def fetch(self, address: str, revision: str | None) -> Path:
        kind = "dataset" if address.startswith("datasets/") else "model"
        parts = address.removeprefix("datasets/").strip("/").split("/")
        repository, inside = "/".join(parts[:2]), "/".join(parts[2:])
        if len(parts) < 2 or not all(parts):
            raise TunesmithError(f"{address!r} is not a name on Modelers\n  it looks like org/name")
        try:
            from .fetching import Repository
        except ImportError as error:
            message = f"{kind} {repository} on Modelers needs the package openmind_hub: {error}"
            raise TunesmithError(f"{message}\n  pip install openmind-hub") from error
        return Repository(repository, kind, revision, self.endpoint, self.cache_dir).fetch(inside, _wanted)


def _wanted(names: list[str], kind: str, inside: str) -> list[str]:
    """The files of a repository to download."""
    if inside:
        return [name for name in names if name == inside or name.startswith(f"{inside}/")]
    if kind == "model" and any(name.endswith(".safetensors") for name in names):
        return [name for name in names if not name.endswith(OTHER_WEIGHTS)]
    return names
