"""A hub: a folder, perhaps on a network drive, in which models and data sets lie under their addresses."""

from pathlib import Path

from tunesmith import TunesmithError, hookimpl, plugin
from tunesmith.errors import choices


@plugin
class Placeholder:
    """Models and data sets in the folders `root/owner/name`."""

    root: str = "/srv/placeholder"  # folder in which they lie

    @hookimpl
    def fetch(self, address: str, revision: str | None) -> Path:
        if revision is not None:
            raise TunesmithError(f"placeholder://{address} has no revisions; asked for {revision}.")
        found = Path(self.root) / address
        if not found.exists():
            there = [str(path.relative_to(self.root)) for path in Path(self.root).glob("*/*")]
            raise TunesmithError(f"{address} is not in {self.root}.\n{choices(address, there, 'there')}")
        return found
