"""The installed templates as lines of text."""

from __future__ import annotations

from tunesmith.catalog import Catalog
from tunesmith_library_chat import TemplateFacts


def listed() -> str:
    """Each name with its class's summary; what is another name of a template stands behind it."""
    rows = []
    for name, plugin in Catalog.discover().classes("template").items():
        facts = getattr(plugin, "traits", None)
        if isinstance(facts, TemplateFacts) and name in facts.aliases:
            continue
        aliases = sorted(facts.aliases) if isinstance(facts, TemplateFacts) else []
        summary = (plugin.__doc__ or "").strip().splitlines()[0] if plugin.__doc__ else ""
        rows.append((name, summary + (f" (also: {', '.join(aliases)})" if aliases else "")))
    width = max((len(name) for name, _ in rows), default=0)
    return "\n".join(f"{name.ljust(width)}  {summary}".rstrip() for name, summary in sorted(rows))
