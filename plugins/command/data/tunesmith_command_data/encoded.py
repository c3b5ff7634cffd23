"""`tunesmith.show`: the examples that a run would train on."""

from __future__ import annotations

from typing import Any

from tunesmith.assemble import assemble
from tunesmith.catalog import Catalog
from tunesmith.compose import Overrides, compose
from tunesmith.pipeline import Config, encoded_data, model_source, reader_of
from tunesmith.types import DatasetSplits


def show(config: Config, overrides: Overrides = None, *, catalog: Catalog | None = None) -> tuple[Any, DatasetSplits]:
    """Encode the data as a training run would, without loading the model: the tokenizer and the encoded examples."""
    run = assemble(compose(config, overrides, catalog), "show", catalog)
    source = model_source(run, training=True)
    processor, template = reader_of(run, source)
    return processor, encoded_data(run, source, processor, template)
