"""The table of what plugins may import from the kernel, in docs/interface.md, read off its modules.

What is not promised is listed here, by name; everything else without an underscore is.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from type_sources import top_level

ROOT = Path(__file__).resolve().parents[2]

# Modules of the kernel that plugins import from, with the names in them that are the kernel's own affair.
_MODULES: dict[str, frozenset[str]] = {
    "tunesmith.types": frozenset(),
    "tunesmith.ranges": frozenset(),
    "tunesmith.errors": frozenset({"WorkersFailed", "noted", "ConfigError"}),
    "tunesmith.messages": frozenset(),
    "tunesmith.files": frozenset(),
    "tunesmith.traits": frozenset(),
    "tunesmith.planning": frozenset({"problem_of", "refuse", "report", "untrainable"}),
    "tunesmith.keys": frozenset({"nearest_origin"}),
    "tunesmith.options": frozenset({"T", "plain", "type_name", "shorthand"}),
    "tunesmith.kinds": frozenset({"CONFIGURED", "OF_THE_LOOP", "OPTIONAL"}),
    "tunesmith.catalog": frozenset({"Entry", "MissingPluginError", "known_distributions"}),
}


def public_names() -> dict[str, list[str]]:
    """The promised names of each module, those of the package itself first."""
    found = {"tunesmith": _of_the_package()}
    for module, own in _MODULES.items():
        found[module] = [name for name in top_level(module) if not name.startswith("_") and name not in own]
    return found


def _of_the_package() -> list[str]:
    """The names that the package itself lends: the keys and values of `_HOMES`."""
    tree = ast.parse((ROOT / "kernel/tunesmith/__init__.py").read_text(encoding="utf-8"))
    assigned = [node for node in tree.body if isinstance(node, ast.Assign)]
    homes = ast.literal_eval(next(node.value for node in assigned if ast.unparse(node.targets[0]) == "_HOMES"))
    return sorted((name for names in homes.values() for name in names), key=str.lower)


def interface() -> Iterator[tuple[Path, str]]:
    """The page of the public interface with its table."""
    file = ROOT / "docs/interface.md"
    before, start, rest = file.read_text(encoding="utf-8").partition("<!-- names -->\n")
    _, end, after = rest.partition("<!-- /names -->")
    lines = ["| import from | names |", "|---|---|"]
    lines += [
        f"| `{module}` | {', '.join(f'`{name}`' for name in names)} |" for module, names in public_names().items()
    ]
    yield file, f"{before}{start}\n" + "\n".join(lines) + f"\n\n{end}{after}"
