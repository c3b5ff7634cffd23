"""What distributions say of themselves; entry points in groups that mean nothing, and which group was meant."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from email import message_from_string
from email.message import Message
from importlib.metadata import Distribution

from tunesmith_library_configuration.errors import nearest


@dataclass(frozen=True)
class Stray:
    """An entry point in a group that is no kind's, which is nobody's plugin until its author mends it."""

    name: str
    message: str

    def __str__(self) -> str:
        return self.message


def described(distribution: Distribution) -> Message | None:
    """Name, version and requirements of a distribution, without its description, which takes long to parse.

    Returns: None while pip is at work, or where it was killed.
    """
    texts = map(distribution.read_text, ("METADATA", "PKG-INFO"))
    text = next(filter(None, texts), "")
    return message_from_string(text.partition("\n\n")[0]) if text else None


def strays(
    distribution: Distribution, name: str, prefix: str, kinds: Collection[str], others: Collection[str]
) -> Iterator[Stray]:
    """The entry points of a distribution whose group begins with a prefix, and is no kind's.

    Args:
        name: of the distribution, as it is told.
        kinds: what follows the prefix in the groups of plugins.
        others: groups that mean something else.
    """
    for point in distribution.entry_points:
        kind = point.group.removeprefix(prefix)
        if point.group.startswith(prefix) and kind not in kinds and point.group not in others:
            meant = nearest(kind, kinds)
            advice = (
                f"{prefix}{meant} is meant?" if meant else f"possible: {', '.join(prefix + kind for kind in kinds)}"
            )
            offer = f"{name} {distribution.version} offers {point.name} in the group {point.group}"
            yield Stray(point.name, f"{offer}, which is no kind's; {advice}")
