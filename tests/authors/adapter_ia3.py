"""(IA)³: activations that are scaled (Liu et al. 2022, arXiv 2205.05638): `adapter=ia3.py:Ia3`."""

from pathlib import Path
from typing import Any, ClassVar

from tunesmith import hookimpl, plugin
from tunesmith.traits import AdapterTraits
from tunesmith.types import ModelSource


@plugin
class Ia3:
    """One trained number for each value that an attention's key or value, or a feed-forward layer, has."""

    traits: ClassVar[AdapterTraits] = AdapterTraits(beside=True)

    scaled: list[str] = ["k_proj", "v_proj"]  # linear layers whose outputs are scaled, by the end of their names
    fed: list[str] = ["down_proj"]  # linear layers whose inputs are scaled, likewise

    @hookimpl
    def apply_adapter(self, model: Any, trained: Path | None, source: ModelSource) -> Any:
        from peft import IA3Config
        from tunesmith_library_adapting.adapters import adapt, load, read_config, ready_to_train

        if trained is not None:
            read_config(trained, "IA3", "(IA)³")
            adapted = load(model, trained, source)
        else:
            names = {"target_modules": [*self.scaled, *self.fed], "feedforward_modules": self.fed}
            adapted = adapt(model, IA3Config(task_type="CAUSAL_LM", **names))
        return ready_to_train(adapted, "(IA)³") if source.training else adapted

    @hookimpl
    def merge_adapter(self, model: Any) -> Any:
        return model.merge_and_unload(safe_merge=True)
