"""`dataset_dir: REMOTE:org/name`: a `dataset_info.json` in a repository of data sets on the Hugging Face hub.

It is read when the configuration is, for it decides what a run has to fetch; the run's record then holds the places.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunesmith.errors import TunesmithError
from tunesmith_library_configuration.reading import read_yaml
from tunesmith_library_formats.dataset_info import FILE, is_dataset_info, sets_in

from tunesmith_dialect_llamafactory.installed import plugin


def sets_of(repository: str, cache_dir: str | None) -> Mapping[str, dict[str, Any]]:
    """The data sets that a repository's file names, as entries of ours; files beside it are in the repository, too.

    Args:
        cache_dir: folder of downloads; None is the hub's own.

    Raises: TunesmithError when there is no such file, or it is of another kind.
    """
    hub: Any = plugin("hub", "huggingface")(cache_dir=cache_dir)
    content, _ = read_yaml(hub.fetch(address=f"datasets/{repository}/{FILE}", revision=None))
    if not is_dataset_info(content):
        raise TunesmithError(f"{FILE} of {repository} names no data sets\n  dataset_dir: a folder with one that does")
    found = sets_in(content)
    for entry in found.values():
        entry.pop("media_dir", None)  # which is beside a file at hand
        if entry["path"].startswith("./"):
            entry["path"] = f"huggingface://datasets/{repository}/{entry['path'].removeprefix('./')}"
    return found
