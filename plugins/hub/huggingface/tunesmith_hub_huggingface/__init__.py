"""Models and data sets on the Hugging Face hub (https://huggingface.co), kept in its own cache."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, ClassVar

from tunesmith import TunesmithError, hookimpl, plugin
from tunesmith.ranges import filled, path_like

# What a model's repository holds beside safetensors: the same weights for other programs.
OTHER_WEIGHTS = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack", "*.ot", "*.onnx*", "*.gguf", "*.tflite")


@plugin
class HuggingFace:
    """Downloads `org/name`, or one file or folder of it (`org/name/data/train`); later runs find it in the cache.

    An address that begins with `datasets/` is a data set; any other is a model, or a data set where no model has that
    name. Of a model that has safetensors, the same weights in other forms are left out. The token comes from `HF_TOKEN`
    or `hf auth login`; `HF_HUB_OFFLINE=1` uses the cache alone.
    """

    guarded: ClassVar[tuple[str, ...]] = ("endpoint",)  # the token is sent there

    # address of the server or of a mirror; null is HF_ENDPOINT, else huggingface.co
    endpoint: Annotated[str | None, filled] = None
    cache_dir: Annotated[str | None, path_like] = None  # folder of downloads; null is the hub's own (HF_HOME)

    @hookimpl
    def fetch(self, address: str, revision: str | None) -> Path:
        from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

        is_dataset = address.startswith("datasets/")
        parts = address.removeprefix("datasets/").strip("/").split("/")
        repository, inside = "/".join(parts[:2]), "/".join(parts[2:])
        kinds = ["dataset"] if is_dataset else ["model", "dataset"]
        for kind in kinds:
            try:
                return self._download(repository, kind, revision, inside)
            except (OSError, ValueError) as error:
                missing = isinstance(error, RepositoryNotFoundError) and not isinstance(error, GatedRepoError)
                if not missing or kind == kinds[-1]:
                    shown = kinds[0] if missing else kind
                    raise TunesmithError(self._explain(error, repository, shown, revision)) from error
        raise AssertionError("every kind either returns or raises")

    def cached(self, address: str, revision: str | None) -> Path | None:
        """A model's file as it lies in the cache; without the network and without huggingface_hub, as a plan asks."""
        owner, name, *inside = address.split("/")
        folder = self._cache() / f"models--{owner}--{name}"
        branch = folder / "refs" / (revision or "main")
        commit = branch.read_text(encoding="utf-8").strip() if branch.is_file() else revision
        file = folder / "snapshots" / (commit or "main") / "/".join(inside)
        return file if file.is_file() else None

    def _cache(self) -> Path:
        """The folder of downloads, as huggingface_hub finds it."""
        said = self.cache_dir or os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
        if said:
            return Path(os.path.expandvars(said)).expanduser()
        home = os.environ.get("HF_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
        return Path(os.path.expandvars(home)).expanduser() / "hub"

    def _download(self, repository: str, kind: str, revision: str | None, inside: str) -> Path:
        from huggingface_hub import snapshot_download

        request: dict[str, Any] = {
            "repo_type": kind,
            "revision": revision,
            "cache_dir": self.cache_dir,
            "endpoint": self.endpoint,
        }
        if inside:
            folder = Path(snapshot_download(repository, allow_patterns=[inside, f"{inside}/*"], **request))
            if not (folder / inside).exists():
                raise TunesmithError(f"{kind} {repository} on the Hugging Face hub has no {inside}")
            return folder / inside
        if kind == "dataset":
            return Path(snapshot_download(repository, **request))
        folder = Path(snapshot_download(repository, ignore_patterns=list(OTHER_WEIGHTS), **request))
        if next(folder.rglob("*.safetensors"), None) is None:
            folder = Path(snapshot_download(repository, **request))
        return folder

    def _explain(self, error: Exception, repository: str, kind: str, revision: str | None) -> str:
        """What the user can do about an error of huggingface_hub."""
        from huggingface_hub import constants, errors

        endpoint, cache = self.endpoint or constants.ENDPOINT, self.cache_dir or constants.HF_HUB_CACHE
        page = f"{endpoint}/{'datasets/' if kind == 'dataset' else ''}{repository}"
        if isinstance(error, errors.GatedRepoError):
            return f"{kind} {repository} is gated\n  ask for access at {page}, then set HF_TOKEN or run: hf auth login"
        if isinstance(error, errors.RepositoryNotFoundError):
            return (
                f"the Hugging Face hub has no {kind} {repository}, or it is private\n"
                f"  looked at {page}\n  a private one needs HF_TOKEN, or: hf auth login; a local path begins with ./"
            )
        if isinstance(error, errors.RevisionNotFoundError):
            return f"{kind} {repository} has no revision {revision}\n  its branches and tags: {page}/tree/main"
        if isinstance(error, errors.HFValidationError):
            return f"{repository!r} is not a name on the Hugging Face hub: {error}"
        if isinstance(error, errors.LocalEntryNotFoundError | errors.OfflineModeIsEnabled):
            return (
                f"{kind} {repository} is not in the cache, and {endpoint} cannot be reached\n"
                f"  cache: {cache}\n"
                "  check the network, HF_ENDPOINT and HF_HUB_OFFLINE, or give the path of a local copy"
            )
        return f"{kind} {repository} could not be fetched from {endpoint}: {error}"
