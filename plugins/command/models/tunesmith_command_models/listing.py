"""Known models as lines of text."""

from __future__ import annotations

import re

from tunesmith import TunesmithError
from tunesmith.errors import choices
from tunesmith_library_configuration.models import KnownModel, known_models, spelling

_INSTALL = "pip install tunesmith-suite"


def listed(search: str, hub: str) -> str:
    """The models that a search finds: name, id, template, in columns, by name.

    Args:
        search: words that the name, an id or the template holds, in upper or lower case and with or without hyphens,
            `*` for anything; "" finds all.
        hub: whose ids are shown; where it has none, that of another hub with its scheme.

    Raises: TunesmithError where no registry is installed, no hub of it has the name, or nothing is found.
    """
    models = known_models()
    if not models:
        raise TunesmithError(f"no registry of models is installed.\n{_INSTALL}")
    hubs = {name for model in models.values() for name in model.hubs}
    if hub not in hubs:
        raise TunesmithError(f"--hub {hub}: no known model has an id there.\n{choices(hub, hubs)}")
    words = [re.escape(spelling(word)).replace(r"\*", ".*") for word in search.split()]
    found = [model for model in models.values() if all(_holds(model, word) for word in words)]
    if not found:
        raise TunesmithError(f"no known model is called {search}.\n{choices(search, models, 'known')}")
    rows = sorted(
        ((model.name, model.address(hub), model.template or "-") for model in found), key=lambda row: _in_order(row[0])
    )
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    return "\n".join(f"{name.ljust(widths[0])}  {id.ljust(widths[1])}  {template}" for name, id, template in rows)


def _holds(model: KnownModel, word: str) -> bool:
    return any(re.search(word, spelling(text)) for text in (model.name, *model.hubs.values(), model.template or ""))


def _in_order(name: str) -> list[tuple[float, str]]:
    """What names are sorted by: 8B stands before 70B."""
    parts = re.split(r"(\d+(?:\.\d+)?)", name.lower())
    return [(float(part), "") if part[:1].isdigit() else (-1.0, part) for part in parts]
