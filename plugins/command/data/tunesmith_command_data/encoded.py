"""`tunesmith.show`: the examples that a run would train on; and `tunesmith data encode`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tunesmith import TunesmithError
from tunesmith.assemble import Assembly, assemble
from tunesmith.catalog import Catalog
from tunesmith.compose import Overrides, compose
from tunesmith.pipeline import Config, encoded_data, model_source, reader_of
from tunesmith.types import DatasetSplits

from .spreading import NOTHING_KEPT, encode_spread, spreader_of


def show(config: Config, overrides: Overrides = None, *, catalog: Catalog | None = None) -> tuple[Any, DatasetSplits]:
    """Encode the data as a training run would, without loading the model: the tokenizer and the encoded examples."""
    return _encoded(assemble(compose(config, overrides, catalog), "show", catalog))


def encode(config: Config, overrides: Overrides = None, *, catalog: Catalog | None = None) -> tuple[Path, ...]:
    """Encode all data of a run beforehand, for it to be found: the folders in which they are kept.

    With a `parallel` plugin that has work done elsewhere they are encoded there, in shards.
    """
    composition = compose(config, overrides, catalog)
    spreader = spreader_of(composition, catalog)
    if spreader is not None:
        return tuple(encode_spread(spreader, config, overrides))
    run = assemble(composition, "encode", catalog)
    _encoded(run)
    kept = tuple(getattr(run.plan.plugin("data"), "kept", ()))
    if not kept:
        raise TunesmithError(NOTHING_KEPT)
    return kept


def _encoded(run: Assembly) -> tuple[Any, DatasetSplits]:
    source = model_source(run, training=True)
    processor, template = reader_of(run, source)
    return processor, encoded_data(run, source, processor, template)
