"""Addresses of models and data sets: which hub fetches them."""

import os
import re
from pathlib import Path

_SCHEMES = {"hf": "huggingface", "file": "local"}
_SWITCHES = {"USE_MODELSCOPE_HUB": "modelscope", "USE_OPENMIND_HUB": "modelers"}  # of the environment
_FILE = re.compile(r".+\.(jsonl?|ndjson|[ct]sv|txt|parquet|arrow|gz|bz2|xz|zst|zip|tar|tgz|gguf|safetensors)", re.I)


def hub_of(address: str, default: str = "huggingface") -> tuple[str, str]:
    """Which hub an address belongs to, and the address without its scheme.

    `scheme://rest` names the hub; a path is `local`; anything else, such as `org/name`, is for `default`,
    or the hub that the environment switches on in its place.
    """
    scheme, separator, rest = address.partition("://")
    if separator:
        return _SCHEMES.get(scheme, scheme), rest
    on = [hub for name, hub in _SWITCHES.items() if os.environ.get(name, "").lower() not in ("", "0", "false", "no")]
    preferred = on[0] if on and default == "huggingface" else default
    return ("local" if is_path(address) else preferred), address


def is_path(address: str) -> bool:
    """Whether an address without scheme means a file or folder, there or not: hub ids have at most one slash."""
    path = Path(address)
    return (
        os.path.exists(os.path.expanduser(address))  # which no text is too long, or too strange, for
        or address.startswith((".", "/", "~"))
        or any(map(_FILE.fullmatch, path.parts))
        or address.strip("/").count("/") > 1
    )
