"""The reference that a preference is measured against: the model as it was before training.

With an adapter that is the model itself with the adapter switched off, at no cost in memory; otherwise a second model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from tunesmith import TunesmithError, announce, hookimpl
from tunesmith.types import Batch, LoadModel, TrainingJob

if TYPE_CHECKING:
    from tunesmith.planning import Plan

Columns = dict[str, Any]
"""Name of a column, such as `chosen_reference_log_prob`: one log-probability per example, (P,) fp32."""


@dataclass(kw_only=True, eq=False)
class ReferenceStage:
    """The options of a stage with a reference, and the finding of it before training begins."""

    # model to compare with, on a hub or a folder; null is the model as it is before training
    reference: str | None = None
    reference_adapter: str | None = None  # folder of the adapter that the reference model has
    # compute the reference's log-probabilities once before training, not in every step; frees its memory
    precompute_reference: bool = False

    _reference: ClassVar[Reference | None] = None
    _settings: ClassVar[Settings | None] = None

    def remember(self, plan: Plan) -> None:
        """Note what of the plan the reference depends on; call it from `check`."""
        self._settings = Settings(  # type: ignore[misc]
            model=plan.get("model.path"),
            adapter=plan.get("adapter.path"),
            batch_size=plan.get("trainer.per_device_eval_batch_size", 8),
            padding_free=plan.get("trainer.padding_free", True),
            use_cpu=plan.get("trainer.use_cpu", False),
        )

    def reference_log_probs(self, model: Any, batch: Batch) -> Columns:
        """The log-probabilities that a reference model gives the answers of a batch; without gradients."""
        raise NotImplementedError

    @hookimpl
    def prepare(self, job: TrainingJob, load: LoadModel) -> TrainingJob | None:
        settings = self._settings or Settings()
        model = None
        if self.reference is not None or self.reference_adapter is not None:
            model = load(self.reference or settings.model, adapter=self.reference_adapter)
        elif not self.precompute_reference and not begins_as_its_base(job.model):
            announce("reference", "a second model", "the model as it is before training")
            model = load(settings.model, adapter=settings.adapter)
        if model is not None:
            use_numbers_of(job.model, model)
            if settings.use_cpu and model.device.type != "cpu":  # it was loaded where there is an accelerator
                model.to("cpu")
        if self.precompute_reference:
            from tunesmith_stage_dpo.precompute import with_reference_columns

            return with_reference_columns(self, settings, job, model)
        self._reference = Reference(model)  # type: ignore[misc]
        return None

    def reference_columns(self, model: Any, batch: Batch) -> Columns:
        """What the reference says of a batch."""
        with (self._reference or Reference(None)).instead_of(model) as reference:
            return self.reference_log_probs(reference, batch)


@dataclass(frozen=True)
class Settings:
    """What of the plan the reference depends on."""

    model: str | None = None  # address of the trained model
    adapter: str | None = None  # folder of the adapter whose training goes on
    batch_size: int = 8
    padding_free: bool = True
    use_cpu: bool = False


@dataclass(frozen=True)
class Reference:
    """A frozen model, or with None the trained model without its adapter."""

    model: Any

    @contextmanager
    def instead_of(self, trained: Any) -> Iterator[Any]:
        """Give the reference for the time of the block, without gradients and dropout.

        Raises: TunesmithError when there is neither a second model nor an adapter to switch off.
        """
        import torch

        with torch.no_grad():
            if self.model is not None:
                yield self.model
                return
            adapted = adapted_model(trained)
            if adapted is None:
                raise TunesmithError(
                    f"{type(trained).__name__} has no adapter to switch off, and no reference model was loaded.\n"
                    "  name one with stage.reference=MODEL"
                )
            with adapted.disable_adapter(), without_dropout(adapted):
                yield trained


def adapted_model(model: Any) -> Any:
    """The model with an adapter that can be switched off within DDP and other wrappers; None when there is none."""
    while not hasattr(model, "disable_adapter"):
        if not hasattr(model, "module"):
            return None
        model = model.module
    return model


@contextmanager
def without_dropout(model: Any) -> Iterator[None]:
    """Switch dropout layers off. Not `model.eval()`: some quantised layers repack their weights then."""
    from torch import nn

    layers = [module for module in model.modules() if isinstance(module, nn.Dropout) and module.training]
    for layer in layers:
        layer.training = False
    try:
        yield
    finally:
        for layer in layers:
            layer.training = True


def use_numbers_of(trained: Any, reference: Any) -> None:
    """Keep the reference's weights in the numbers of the trained model's.

    Full training holds float32: beside a bfloat16 reference, rounding alone would look like a preference.
    """
    here, there = (model.get_input_embeddings().weight.dtype for model in (reference, trained))
    if here != there:
        for parameter in reference.parameters():
            if parameter.dtype == here:
                parameter.data = parameter.data.to(there)


def begins_as_its_base(model: Any) -> bool:
    """Whether a model about to be trained computes the same with its adapter switched off; asked of the model itself.

    Not so for one without adapter, for an adapter that was trained before, and for starts that change the base (PiSSA).
    """
    import torch

    adapted = adapted_model(model)
    if adapted is None:
        return False
    weight = model.get_input_embeddings().weight
    tokens = (torch.arange(16, device=weight.device) * 7 + 11) % model.config.get_text_config().vocab_size
    # trained weights are float32 also over a base in bf16, which only autocast brings together
    half = torch.autocast(weight.device.type, torch.bfloat16, enabled=model.dtype == torch.bfloat16)
    with torch.no_grad(), half, without_dropout(model):
        found = []
        for switched in (nullcontext(), adapted.disable_adapter()):
            with switched:
                found.append(model(input_ids=tokens[None], use_cache=False).logits.float())
    return torch.allclose(*found, rtol=1e-3, atol=1e-3)


def collate_columns(examples: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, Columns]:
    """The `reference` of a batch: columns that were computed before training; nothing when there are none."""
    import torch

    if names[0] not in examples[0]:
        return {}
    return {"reference": {name: torch.tensor([float(example[name]) for example in examples]) for name in names}}
