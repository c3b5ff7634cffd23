"""An adapter through peft: LoHa, low-rank Hadamard products (Hyeon-Woo et al. 2022, arXiv 2108.06098)."""

from pathlib import Path
from typing import Annotated, Any, ClassVar

from tunesmith import hookimpl, plugin
from tunesmith.ranges import above, at_least
from tunesmith.traits import AdapterTraits
from tunesmith.types import ModelSource


@plugin
class Placeholder:
    """ΔW = (B1 A1) ∘ (B2 A2): of rank up to r² with the weights of two matrices of rank r."""

    traits: ClassVar[AdapterTraits] = AdapterTraits(beside=True)

    rank: Annotated[int, at_least(1, most=65_536)] = 8  # r of each of the two products
    alpha: Annotated[float, above(0, most=1_000_000)] = 16.0  # ΔW is scaled by alpha / rank

    @hookimpl
    def apply_adapter(self, model: Any, trained: Path | None, source: ModelSource) -> Any:
        import torch
        from peft import LoHaConfig, PeftModel, get_peft_model

        if trained is not None:
            model = PeftModel.from_pretrained(model, trained, is_trainable=source.training)
        else:
            config = LoHaConfig(r=self.rank, alpha=self.alpha, target_modules="all-linear", task_type="CAUSAL_LM")
            model = get_peft_model(model, config)
        for weight in model.parameters():
            if weight.requires_grad:
                weight.data = weight.data.to(torch.float32)
        return model

    @hookimpl
    def merge_adapter(self, model: Any) -> Any:
        return model.merge_and_unload(safe_merge=True)
