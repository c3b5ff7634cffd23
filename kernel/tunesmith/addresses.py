"""Addresses of models and data sets: which hub fetches them."""

import os
from pathlib import Path

_SCHEMES = {"hf": "huggingface", "file": "local"}
_FILE_SUFFIXES = frozenset(
    [
        ".json",
        ".jsonl",
        ".ndjson",
        ".csv",
        ".tsv",
        ".txt",
        ".parquet",
        ".arrow",
        ".gz",
        ".bz2",
        ".xz",
        ".zst",
        ".zip",
        ".tar",
        ".tgz",
        ".gguf",
        ".safetensors",
    ]
)


def hub_of(address: str, default: str = "huggingface") -> tuple[str, str]:
    """Which hub an address belongs to, and the address without its scheme.

    `scheme://rest` names the hub; a path is `local`; anything else, such as `org/name`, is for `default`.
    """
    scheme, separator, rest = address.partition("://")
    if separator:
        return _SCHEMES.get(scheme, scheme), rest
    return ("local" if is_path(address) else default), address


def is_path(address: str) -> bool:
    """Whether an address without scheme means a file or folder, there or not: hub ids have at most one slash."""
    path = Path(address)
    return (
        os.path.exists(os.path.expanduser(address))  # which no text is too long, or too strange, for
        or address.startswith((".", "/", "~"))
        or path.suffix.lower() in _FILE_SUFFIXES
        or address.strip("/").count("/") > 1
    )
