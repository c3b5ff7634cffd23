"""From an object store to a local folder: listed, downloaded once, resumed, compared with its sums.

Each object is kept once, under a name made of its address and what the store says of its version. A fetch links them
into a folder that is named by the whole listing, so that what is no longer in the store is not in the folder either.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import logging
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith import TunesmithError

logger = logging.getLogger("tunesmith")
_ATTEMPTS, _PAUSE = 5, 1.0  # times that an object is asked for, and seconds before the second, doubled for each further
_CHUNK = 1 << 20  # bytes
_MD5 = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Store:
    """A kind of store, as fsspec knows it."""

    scheme: str
    package: str  # that speaks its protocol
    options: Mapping[str, Any]  # of its file system
    keys: str  # what to do where access is refused


@dataclass(frozen=True)
class Object:
    """An object as it is listed."""

    path: str  # bucket/key
    size: int
    version: str  # another one for another content
    md5: str | None

    @property
    def digest(self) -> str:
        return _digest(self.path, str(self.size), self.version)


def fetch(store: Store, address: str, revision: str | None, cache_dir: str | None) -> Path:
    """Make an object, or all below a folder, available locally.

    Raises: TunesmithError.
    """
    name = f"{store.scheme}://{address}"
    if revision is not None:
        logger.warning("%s is in an object store: revision %s is left aside", name, revision)
    address = address.strip("/")
    cache = Path(cache_dir or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "tunesmith", "stores")).expanduser()
    with _explained(store, name):
        files = _file_system(store, name)
        objects = _listed(files, address)
        if not objects:
            raise TunesmithError(f"there is nothing at {name}\n  {store.keys}")
        cache.mkdir(parents=True, exist_ok=True)
        for one in objects:
            _kept(files, one, cache, store)
        return _linked(objects, address, cache)


def _file_system(store: Store, name: str) -> Any:
    import fsspec

    try:
        return fsspec.filesystem(store.scheme, use_listings_cache=False, skip_instance_cache=True, **store.options)
    except (ImportError, ValueError) as error:
        if isinstance(error, ValueError) and "Protocol not known" not in str(error):
            raise
        message = f"{name} needs the package {store.package}, which is not installed or broken: {error}"
        raise TunesmithError(f"{message}\n  pip install {store.package}") from error


def _listed(files: Any, address: str) -> list[Object]:
    """The objects at an address: one, or all below it, without the marks that stand for folders."""
    try:
        found = files.find(address, detail=True)
    except FileNotFoundError:
        return []
    return [_object(path, about) for path, about in sorted(found.items()) if not path.endswith("/")]


def _object(path: str, about: Mapping[str, Any]) -> Object:
    tag = str(about.get("ETag") or about.get("etag") or about.get("generation") or "").strip('"')
    md5 = tag if _MD5.fullmatch(tag) else None
    with contextlib.suppress(binascii.Error):
        md5 = base64.b64decode(about["md5Hash"]).hex() if about.get("md5Hash") else md5
    changed = about.get("LastModified") or about.get("updated") or about.get("created") or ""
    return Object(path, int(about.get("size") or 0), md5 or tag or str(changed), md5)


def _kept(files: Any, one: Object, cache: Path, store: Store) -> None:
    """Download an object unless it is there; other processes that want the same one wait for it."""
    from filelock import FileLock

    blob = cache / "objects" / one.digest
    blob.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{blob}.lock"):
        if blob.is_file():
            return
        part = blob.with_suffix(".part")
        for last in (False, True):
            _download(files, one, part)
            if one.md5 is None or _md5_of(part) == one.md5 or _has_no_md5(files, one):
                os.replace(part, blob)
                return
            part.unlink()
            if last:
                message = f"{store.scheme}://{one.path} is not what its checksum says: MD5 {one.md5} is listed"
                raise TunesmithError(f"{message}\n  it was downloaded twice; see whether the object is whole")


def _download(files: Any, one: Object, part: Path) -> None:
    """Write an object to a file, from where an earlier attempt was cut."""
    pause = _PAUSE
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with open(part, "ab") as sink:
                if sink.tell() < one.size:
                    with files.open(one.path, "rb", cache_type="none") as source:
                        source.seek(sink.tell())
                        shutil.copyfileobj(source, sink, _CHUNK)
            if part.stat().st_size == one.size:
                return
            error: Exception = TunesmithError(f"{part.stat().st_size:,} of {one.size:,} bytes came")
            if part.stat().st_size > one.size:
                part.unlink()
        except (PermissionError, FileNotFoundError):
            raise
        except Exception as raised:  # each store's client has its own
            error = raised
        if attempt == _ATTEMPTS:
            raise error
        logger.warning("%s: %s; it goes on in %g s", one.path, error or type(error).__name__, pause)
        time.sleep(pause)
        pause *= 2


def _has_no_md5(files: Any, one: Object) -> bool:
    """Whether an ETag of S3 that looks like an MD5 sum is none, as with keys of one's own."""
    if not hasattr(files, "call_s3"):
        return False
    bucket, _, key = one.path.partition("/")
    about = files.call_s3("head_object", Bucket=bucket, Key=key)
    return "kms" in str(about.get("ServerSideEncryption", "")) or "SSECustomerAlgorithm" in about


def _linked(objects: list[Object], address: str, cache: Path) -> Path:
    """The folder of a listing, or the file where the address is one's own."""
    listing = _digest(address, *(one.digest for one in objects))
    folder = cache / "folders" / listing / address.rsplit("/", 1)[-1]
    for one in objects:
        inside = one.path.removeprefix(address).strip("/")
        target = folder / inside if inside else folder
        if not target.resolve().is_relative_to(folder.parent.resolve()):
            raise TunesmithError(f"{one.path} would stand outside of the cache")
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            _link(cache / "objects" / one.digest, target)
    return folder


def _link(blob: Path, target: Path) -> None:
    """Give a file a second name, or copy it where the file system has no links."""
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        os.link(blob, draft)
    except OSError:
        shutil.copyfile(blob, draft)
    os.replace(draft, target)


@contextlib.contextmanager
def _explained(store: Store, name: str) -> Iterator[None]:
    """Say what the user can do about an error of a store's client."""
    try:
        yield
    except TunesmithError:
        raise
    except PermissionError as error:
        raise TunesmithError(f"{name} may not be read: {error}\n  {store.keys}") from error
    except FileNotFoundError as error:
        raise TunesmithError(f"there is nothing at {name}: {error}\n  {store.keys}") from error
    except Exception as error:  # each store's client has its own
        said = str(error) or type(error).__name__
        raise TunesmithError(f"{name} could not be fetched: {said}\n  check the network; {store.keys}") from error


def _md5_of(path: Path) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _digest(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()
