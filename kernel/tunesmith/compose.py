"""Composition: YAML files, their `defaults`, and overrides become one tree whose values know where they came from.

The layers are put together by `tunesmith_library_configuration.layers`; here they learn which keys are kinds, where
recipes are, and what older versions and other programs mean. Which options and types are possible is not decided here
but by the plugins that the tree selects.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.catalog import Catalog
from tunesmith.dialects import OURS, read_foreign
from tunesmith.errors import ConfigError
from tunesmith.keys import Key, Origin
from tunesmith.kinds import KINDS
from tunesmith.messages import announce
from tunesmith.types import Problem
from tunesmith.upgrades import upgraded
from tunesmith_library_configuration.folders import RECORD
from tunesmith_library_configuration.foreign import Words
from tunesmith_library_configuration.handles import configuration_of, foreign_model
from tunesmith_library_configuration.layers import Layers, Things
from tunesmith_library_configuration.models import with_known_model
from tunesmith_library_configuration.overrides import Overrides as Overrides
from tunesmith_library_configuration.overrides import read_overrides
from tunesmith_library_configuration.recipes import find_recipe, others_than, recipe_folders


@dataclass(frozen=True)
class Composition:
    """The user's values, in canonical form, before the plugins' own defaults.

    Canonical: a kind of which a run has one is `{"name": …, options…}`; a kind of which it has many maps names to
    options.
    """

    tree: Mapping[str, Any]
    origins: Mapping[Key, Origin]
    notices: tuple[str, ...] = ()
    file: Path | None = None
    command: str | None = None  # the command that a dialect says the file is for
    problems: tuple[Problem, ...] = ()  # of keys that a dialect refused

    @property
    def run_folder(self) -> Path | None:
        """The run that the configuration was read from."""
        return self.file.parent if self.file and self.file.name == RECORD else None


def compose(
    config: str | Path | Mapping[str, Any] | None = None, overrides: Overrides = None, catalog: Catalog | None = None
) -> Composition:
    """Put files and overrides together.

    Overrides count in their order, but those that choose a plugin come before those that set options, so that
    `quantizer.bits=2 quantizer=hqq` means what it says.

    Args:
        config: a YAML file, the folder of a run, a mapping of the same form, or None.
        overrides: `{"adapter.rank": 16}` or `["adapter.rank=16"]`; over a configuration of another program those in
            its own words, too.
        catalog: where to look for dialects; by default all that are installed.

    Raises: ConfigError for a file that is missing or is not YAML, and for an override that cannot be read.
    """
    given = read_overrides(overrides)
    words = Words(OURS, given, functools.partial(read_foreign, catalog=catalog), upgraded)
    things = functools.cache(lambda kind: Things(kind, catalog or Catalog.discover()) if KINDS[kind].common else None)
    file, made = None, Layers(named=KINDS, folders=recipe_folders, change=words.ours, things=things)
    if isinstance(config, Mapping):
        made.add(config, Origin("the given mapping"))
    elif config is not None:
        file = _config_file(Path(config))
        if (model := foreign_model(file)) is not None:
            made.add(configuration_of(model, words.translate), Origin(str(model)))
        else:
            made.add_file(file)
    elif any(item.key[0] not in OURS for item in given):
        made.add({}, given[0].origin)
    made.override(item for item in given if item.key not in words.taken)
    made.notices += with_known_model(made.tree)
    problems = [*words.problems, *made.reference_problems()]
    return Composition(made.tree, made.origins, tuple(made.notices), file, words.command, tuple(problems))


def _config_file(path: Path) -> Path:
    if path.is_dir():
        return path / RECORD
    if path.is_file():
        return path
    recipe = find_recipe(path)
    if recipe:
        announce("configuration", recipe, "an installed recipe")
        return recipe
    raise ConfigError(f"{path}: no such file.\n{others_than(path)}")
