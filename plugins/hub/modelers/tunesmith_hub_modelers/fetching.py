"""Fetching from Modelers with its own client, file by file.

The client's own loop over a repository tries everything ten times, a missing permission too, and takes a file with a
wrong checksum on the second try; so the loop and the checksum are here.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import openmind_hub
from tunesmith import TunesmithError

logger = logging.getLogger("tunesmith")
_ATTEMPTS, _PAUSE = 5, 1.0  # times that something is asked for, and seconds before the second, doubled for each further
_LOGIN = "set OPENMIND_TOKEN to a token of https://modelers.cn/my/tokens"
T = TypeVar("T")


@dataclass(frozen=True)
class Repository:
    """A model or data set on the hub."""

    name: str
    kind: str
    revision: str | None
    endpoint: str | None
    cache_dir: str | None

    def fetch(self, inside: str, wanted: Callable[[list[str], str, str], list[str]]) -> Path:
        """Download what is wanted of it. Raises: TunesmithError."""
        token = os.environ.get("OPENMIND_TOKEN")
        api = openmind_hub.OmApi(endpoint=self.endpoint, token=token)
        names = self._tried("", lambda: api.list_repo_files(self.name, revision=self.revision, token=token))
        files = wanted(sorted(names), self.kind, inside)
        if not files:
            raise TunesmithError(f"{self.kind} {self.name} on Modelers has no {inside or 'files'}")
        for name in files:
            path = self._checked(name, token)
        folder = path.parents[len(Path(files[-1]).parts) - 1]
        return folder / inside if inside else folder

    def _checked(self, name: str, token: str | None) -> Path:
        """Download a file, once more where it is not what its checksum says."""
        for last in (False, True):
            path = self._tried(name, lambda: self._download(name, token))
            blob = path.resolve()
            if _is_whole(blob):
                return path
            path.unlink()
            blob.unlink(missing_ok=True)
            if last:
                break
        message = f"{name} of {self.kind} {self.name} is not what its checksum says: {blob.name} is listed"
        raise TunesmithError(f"{message}\n  it was downloaded twice; try again later")

    def _download(self, name: str, token: str | None) -> Path:
        """The file in the cache; what the client finds wrong with its content is found again by `_is_whole`."""
        request: dict[str, Any] = {
            "repo_type": self.kind,
            "revision": self.revision,
            "endpoint": self.endpoint,
            "cache_dir": self.cache_dir and str(Path(self.cache_dir).expanduser()),
            "token": token,
        }
        try:
            return Path(openmind_hub.om_hub_download(self.name, name, **request))
        except ValueError as error:
            if "not downloaded correctly" not in str(error):
                raise
            return Path(openmind_hub.om_hub_download(self.name, name, **request))

    def _tried(self, name: str, ask: Callable[[], T]) -> T:
        """Ask, again where the server is busy or the connection was cut. Raises: TunesmithError."""
        pause = _PAUSE
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return ask()
            except Exception as error:  # of the client, of requests, of the answer's form
                status = _status_of(error)
                passes = status == 429 or (status or 0) >= 500 or (status is None and _is_of_the_network(error))
                if not passes or attempt == _ATTEMPTS:
                    raise TunesmithError(self._explain(error, status, name)) from error
                logger.warning("%s: %s; it is tried again in %g s", self.name, status or type(error).__name__, pause)
                time.sleep(pause)
                pause *= 2
        raise AssertionError("every attempt either returns or raises")

    def _explain(self, error: Exception, status: int | None, file: str) -> str:
        """What the user can do about an error of the client."""
        what = f"{file} of {self.kind} {self.name}" if file else f"{self.kind} {self.name}"
        where = self.endpoint or "Modelers"
        if status in (401, 403):
            return f"{what} may not be read with this token, or without one ({where})\n  {_LOGIN}"
        if status == 404:
            branch = f", or not its revision {self.revision}" if self.revision else ""
            return f"{where} has no {what}{branch}, or it is private\n  {_LOGIN}; a local path begins with ./"
        if status == 429:
            return f"{where} refuses more requests at the moment (429), while {what} is fetched\n  try again later"
        if status is None and _is_of_the_network(error):
            return f"{where} cannot be reached for {what}: {error}\n  check the network, or give a local copy's path"
        return f"{what} could not be fetched from {where}: {error}"


def _status_of(error: BaseException) -> int | None:
    """The status of the answer that an error, or what it came from, is about."""
    seen: BaseException | None = error
    while seen is not None:
        status = getattr(getattr(seen, "response", None), "status_code", None)
        if status is not None:
            return int(status)
        seen = seen.__cause__
    return None


def _is_of_the_network(error: BaseException) -> bool:
    from requests import RequestException

    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, RequestException | ConnectionError | TimeoutError) or "size check failed" in str(seen):
            return True
        seen = seen.__cause__
    return False


def _is_whole(blob: Path) -> bool:
    """Whether a file of the cache is what its name says, the SHA-256 of its content or Git's SHA-1."""
    digest: Any = hashlib.sha256()
    if len(blob.name) == 40:
        digest = hashlib.sha1(f"blob {blob.stat().st_size}\0".encode(), usedforsecurity=False)
    with open(blob, "rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return bool(digest.hexdigest() == blob.name)
