"""`tunesmith data encode … parallel=ray`: encoding in shards on the machines that a `parallel` plugin has.

Each machine reads the configuration itself and makes the run's own tokenizer, template, format and stage of it: plugins
and tokenizers need not be sent.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith import TunesmithError
from tunesmith.assemble import Assembly, assemble
from tunesmith.catalog import Catalog
from tunesmith.compose import Composition, Overrides, compose
from tunesmith.keys import Key
from tunesmith.pipeline import encoded_data, model_source, reader_of
from tunesmith.planning import refuse
from tunesmith.validate import instance, structured
from tunesmith_library_configuration.overrides import written_overrides

NOTHING_KEPT = "nothing of the encoded data was kept\n  data.cache=true, and data.cache_dir=FOLDER"

Config = str | Path | Mapping[str, Any] | None


def spreader_of(composition: Composition, catalog: Catalog | None = None) -> Any:
    """The configuration's `parallel` plugin if it can have work done elsewhere (its method `spread`); else None.

    Raises: ConfigError when its options are wrong.
    """
    given = composition.tree.get("parallel")
    options = dict(given) if isinstance(given, Mapping) else {"name": given}
    cls = (catalog or Catalog.discover()).classes("parallel").get(str(options.pop("name", None)))
    if cls is None or not hasattr(cls, "spread"):
        return None
    node, problems = structured(cls, options, Key("parallel"), "parallel", composition.origins)
    refuse(problems, composition.origins)
    return instance(cls, node)


def encode_spread(spreader: Any, config: Config, overrides: Overrides) -> list[Path]:
    """Encode all data of a run in shards, wherever the plugin has them encoded. Gives the folders of the sets."""
    words = [*written_overrides(overrides), "data.streaming=false"]  # what a run streams is encoded in the same way
    sharding = sharding_of(config, words)
    file = Path(config).absolute() if isinstance(config, str | Path) else config
    work = Encoding(file, tuple(words), os.getcwd())
    return list(sharding.encode(lambda tasks: spreader.spread(tasks, work)))


@dataclass(frozen=True)
class Encoding:
    """What a machine is sent to encode shards: where the configuration is."""

    config: Config
    overrides: tuple[str, ...]
    folder: str  # in which the command was given

    def __call__(self) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
        """What encodes a shard there. An error of the data is an answer, `fault`, so that no other machine tries."""
        if Path(self.folder).is_dir():
            os.chdir(self.folder)
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # each has a processor, not all of them
        sharding = sharding_of(self.config, self.overrides)

        def encode(task: Mapping[str, Any]) -> Mapping[str, Any]:
            try:
                found: Mapping[str, Any] = sharding.encode_shard(task)
            except TunesmithError as error:
                return {"fault": str(error)}
            return found

        return encode


def sharding_of(config: Config, overrides: Overrides) -> Any:
    """What encodes the data sets of a configuration in shards.

    Raises: TunesmithError when its `data` plugin cannot.
    """
    run = assemble(compose(config, overrides), "encode")
    data = run.plan.plugin("data")
    if not hasattr(data, "sharding"):
        raise TunesmithError(f"data={run.plan.name('data')} does not encode in shards\n  leave parallel out")
    if run.plan.get("data.cache") is False:
        raise TunesmithError(NOTHING_KEPT)
    return data.sharding(**_given_to_data(run))


def _given_to_data(run: Assembly) -> Mapping[str, Any]:
    """What the hook `build_dataset` gets in this run."""
    asking: Any = copy.copy(run)
    asking.hook = _Asked(run.hook)
    source = model_source(run, training=True)
    encoded_data(asking, source, *reader_of(run, source))
    given: Mapping[str, Any] = asking.hook.given
    return given


class _Asked:
    """The hooks of a run, of which `build_dataset` only remembers what it is given."""

    def __init__(self, hook: Any) -> None:
        self._hook = hook
        self.given: Mapping[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._hook, name)

    def build_dataset(self, **given: Any) -> None:
        self.given = given
