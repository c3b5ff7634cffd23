"""A model without its last layers (Gromov et al. 2024, arXiv 2403.17887): `model=shallow.py:Shallow`."""

from pathlib import Path
from typing import Annotated, Any

from tunesmith import TunesmithError, hookimpl, plugin
from tunesmith.ranges import at_least, filled
from tunesmith.types import ModelSource, Precision


@plugin
class Shallow:
    """Load a causal language model's first layers with transformers."""

    path: Annotated[str, filled]  # model on a hub, or its folder
    layers: Annotated[int | None, at_least(1, most=100_000)] = None  # how many of the first to keep; null: all

    @hookimpl
    def resolve_precision(self, requested: str, path: Path) -> Precision:
        from tunesmith_library_loading.precision import resolve

        return resolve(requested, path)

    @hookimpl
    def load_processor(self, source: ModelSource) -> Any:
        from tunesmith_library_loading.processors import load_processor

        return load_processor(source.path, trust_remote_code=False)

    @hookimpl
    def load_model(self, source: ModelSource, processor: Any, quantization: Any) -> Any:
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM
        from tunesmith_library_loading.precision import DTYPES
        from tunesmith_library_loading.processors import fit_embeddings

        torch.manual_seed(source.seed)
        given = {"dtype": DTYPES[source.precision], "quantization_config": quantization}
        try:
            config = AutoConfig.from_pretrained(source.path)
            kinds = getattr(config, "layer_types", None)
            config.num_hidden_layers = min(self.layers or config.num_hidden_layers, config.num_hidden_layers)
            config.layer_types = kinds and kinds[: config.num_hidden_layers]
            model = AutoModelForCausalLM.from_pretrained(source.path, config=config, **given)
        except (OSError, ValueError) as error:
            raise TunesmithError(f"{source.address} cannot be loaded: {error}") from error
        if processor is not None:
            fit_embeddings(model, processor)
        return model
