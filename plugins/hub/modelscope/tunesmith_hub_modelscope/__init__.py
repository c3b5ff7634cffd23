"""Models and data sets on ModelScope (https://modelscope.cn), kept in its own cache."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from tunesmith import TunesmithError, hookimpl, plugin
from tunesmith.ranges import filled, path_like

if TYPE_CHECKING:
    from modelscope_hub import HubApi

# What a model's repository holds beside safetensors: the same weights for other programs.
OTHER_WEIGHTS = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack", "*.ot", "*.onnx*", "*.gguf", "*.tflite")


@plugin
class ModelScope:
    """Downloads `org/name`, or one file or folder of it (`org/name/data/train`); later runs find it in the cache.

    An address that begins with `datasets/` is a data set; any other is a model, or a data set where no model has that
    name. `USE_MODELSCOPE_HUB=1` makes this the hub of addresses without scheme. Of a model that has safetensors, the
    same weights in other forms are left out. Files are compared with their checksums, and a download that was cut goes
    on. The token comes from `MODELSCOPE_API_TOKEN` or `modelscope login`.
    """

    guarded: ClassVar[tuple[str, ...]] = ("endpoint",)  # the token is sent there

    # address of the server; null is MODELSCOPE_ENDPOINT, else modelscope.cn, or modelscope.ai for what is there alone
    endpoint: Annotated[str | None, filled] = None
    cache_dir: Annotated[str | None, path_like] = None  # folder of downloads; null is the hub's own (MODELSCOPE_CACHE)

    @hookimpl
    def fetch(self, address: str, revision: str | None) -> Path:
        from modelscope_hub.errors import HubError, NotExistError

        is_dataset = address.startswith("datasets/")
        parts = address.removeprefix("datasets/").strip("/").split("/")
        repository, inside = "/".join(parts[:2]), "/".join(parts[2:])
        kinds = ["dataset"] if is_dataset else ["model", "dataset"]
        if len(parts) < 2 or not all(parts):
            raise TunesmithError(f"{address!r} is not a name on ModelScope\n  it looks like org/name")
        for kind in kinds:
            try:
                return self._download(repository, kind, self._revision(revision), inside)
            except (HubError, OSError, ValueError) as error:
                missing = isinstance(error, NotExistError)
                if not missing or kind == kinds[-1]:
                    raise TunesmithError(self._explain(error, repository, kinds[0], revision)) from error
        raise AssertionError("every kind either returns or raises")

    def cached(self, address: str, revision: str | None) -> Path | None:
        """A model's file as it lies in the cache, of this or an earlier client; without the network, as a plan asks."""
        owner, name, *inside = address.split("/")
        said = self.cache_dir or os.environ.get("MODELSCOPE_CACHE") or "~/.cache/modelscope"
        base, earlier = Path(said).expanduser(), Path("models", owner, name.replace(".", "___"))
        now = base / "models" / f"{owner}--{name}" / "snapshots" / (self._revision(revision) or "master")
        files = [folder / "/".join(inside) for folder in (now, base / earlier, base / "hub" / earlier)]
        return next((file for file in files if file.is_file()), None)

    def _revision(self, revision: str | None) -> str | None:
        """The hub's own name of the default branch, where another hub's is written."""
        return "master" if revision == "main" else revision

    def _download(self, repository: str, kind: str, revision: str | None, inside: str) -> Path:
        api = self._api(repository, kind)
        names = [file.path for file in api.list_repo_files(repository, kind, revision=revision)]
        wanted = [name for name in names if not inside or name == inside or name.startswith(f"{inside}/")]
        if not wanted:
            raise TunesmithError(f"{kind} {repository} on ModelScope has no {inside or 'files'}")
        left_out = list(OTHER_WEIGHTS) if kind == "model" and not inside and _has_safetensors(names) else None
        folder = Path(
            api.download_repo(
                repository,
                kind,
                revision=revision,
                cache_dir=self.cache_dir and Path(self.cache_dir).expanduser(),
                allow_patterns=[inside, f"{inside}/*"] if inside else None,
                ignore_patterns=left_out,
            )
        )
        return folder / inside if inside else folder

    def _api(self, repository: str, kind: str) -> HubApi:
        """The client, for the site that has the repository."""
        from modelscope_hub import HubApi

        api = HubApi(endpoint=self.endpoint)
        if self.endpoint is None:
            return HubApi(endpoint=api.resolve_endpoint_for_read(repository, repo_type=kind))
        return api

    def _explain(self, error: Exception, repository: str, kind: str, revision: str | None) -> str:
        """What the user can do about an error of modelscope_hub."""
        from modelscope_hub import errors

        found = next(iter(getattr(error, "failed_files", {}).items()), None)
        of, cause = (f"{found[0]} of ", found[1]) if found else ("", error)
        where, name = self.endpoint or "ModelScope", f"{of}{kind} {repository}"
        login = "set MODELSCOPE_API_TOKEN, or run: modelscope login"
        if isinstance(cause, errors.NotExistError):
            branch = f", or not its revision {revision}" if revision else ""
            return f"{where} has no {name}{branch}, or it is private\n  {login}; a local path begins with ./"
        if isinstance(cause, errors.AuthenticationError | errors.PermissionDeniedError):
            return f"{name} may not be read with this token, or without one ({where})\n  {login}"
        if isinstance(cause, errors.RateLimitError):
            return f"{where} refuses more requests at the moment (429), while {name} is fetched\n  try again later"
        if isinstance(cause, errors.FileIntegrityError):
            return f"{name} from {where} is not what its checksum says\n  {cause}\n  try again; what is whole is kept"
        if isinstance(cause, errors.NetworkError):
            advice = "check the network, or give the path of a local copy"
            return f"{where} cannot be reached for {name}: {cause}\n  {advice}"
        return f"{name} could not be fetched from {where}: {cause}"


def _has_safetensors(names: list[str]) -> bool:
    return any(name.endswith(".safetensors") for name in names)
