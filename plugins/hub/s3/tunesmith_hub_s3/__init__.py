"""Models and data sets in object stores: S3 and what speaks its protocol, and Google Cloud Storage."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar

from tunesmith import hookimpl, plugin
from tunesmith.ranges import filled, path_like


@plugin
class S3:
    """Downloads `s3://bucket/folder`, or one file; what has not changed since is taken from the cache.

    A download that was cut goes on, and each file is compared with the MD5 sum that the store lists, if it does. The
    keys are looked for as boto3 does: `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, `AWS_PROFILE`, the machine's
    role. Needs the package s3fs.
    """

    guarded: ClassVar[tuple[str, ...]] = ("endpoint",)  # requests are signed for it

    # address of a server that speaks the protocol, such as MinIO; null is AWS_ENDPOINT_URL, else Amazon
    endpoint: Annotated[str | None, filled] = None
    anonymous: bool = False  # ask without keys, for public buckets
    cache_dir: Annotated[str | None, path_like] = None  # folder of downloads; null is ~/.cache/tunesmith/stores

    @hookimpl
    def fetch(self, address: str, revision: str | None) -> Path:
        from .fetching import Store, fetch

        options: dict[str, Any] = {"anon": self.anonymous}
        if self.endpoint:
            options["client_kwargs"] = {"endpoint_url": self.endpoint}
        keys = (
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; hub.s3.anonymous=true asks without keys"
        )
        return fetch(Store("s3", "s3fs", options, keys), address, revision, self.cache_dir)


@plugin
class GoogleStorage:
    """Downloads `gs://bucket/folder`, or one file; what has not changed since is taken from the cache.

    A download that was cut goes on, and each file is compared with the MD5 sum that the store lists. Credentials are
    looked for as Google's programs do: `GOOGLE_APPLICATION_CREDENTIALS`, `gcloud auth`. Needs the package gcsfs.
    """

    guarded: ClassVar[tuple[str, ...]] = ("endpoint",)  # the token is sent there

    endpoint: Annotated[str | None, filled] = None  # address of the server; null is Google's
    anonymous: bool = False  # ask without credentials, for public buckets
    cache_dir: Annotated[str | None, path_like] = None  # folder of downloads; null is ~/.cache/tunesmith/stores

    @hookimpl
    def fetch(self, address: str, revision: str | None) -> Path:
        from .fetching import Store, fetch

        options: dict[str, Any] = {"token": "anon"} if self.anonymous else {}
        if self.endpoint:
            options["endpoint_url"] = self.endpoint
        keys = "set GOOGLE_APPLICATION_CREDENTIALS, or run: gcloud auth application-default login; "
        keys += "hub.gs.anonymous=true asks without credentials"
        return fetch(Store("gs", "gcsfs", options, keys), address, revision, self.cache_dir)
