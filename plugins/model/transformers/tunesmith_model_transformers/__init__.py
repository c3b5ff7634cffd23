"""Loads weights and tokenizer with transformers. The one place, with the trainer, that knows how."""

from __future__ import annotations

import importlib.util
from collections.abc import Generator
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from tunesmith import announce, hookimpl, plugin
from tunesmith.keys import Key
from tunesmith.ranges import at_least, filled, path_like
from tunesmith.traits import ModelTraits
from tunesmith.types import ModelSource, Precision, Problem, TrainingJob
from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_loading.work import Task, task_of
from tunesmith_library_media.expanding import placeholders
from tunesmith_library_media.options import MediaOptions, keep_options
from tunesmith_library_weights.folders import model_problems

from .checking import check_balance
from .overrides import check_keys

if TYPE_CHECKING:
    from tunesmith.planning import Plan

_FLASH_PACKAGES = {"flash_attention_2": "flash_attn", "flash_attention_3": "flash_attn_interface"}


@plugin
class Transformers:
    """Any causal language model that transformers can load, from a hub or a folder."""

    changeable: ClassVar[tuple[str, ...]] = (
        "path",
        "revision",
        "attention",
        "trust_remote_code",
    )
    guarded: ClassVar[tuple[str, ...]] = ("trust_remote_code",)
    traits: ClassVar[ModelTraits] = ModelTraits(attention_interface=True, plain_layers=True)
    SHORTHAND: ClassVar[str] = "path"
    known_as: ClassVar[dict[str, str]] = {
        **dict.fromkeys(("model_name_or_path", "model_name", "name_or_path", "model_id", "model_path"), "path"),
        **dict.fromkeys(("base_model", "base_model_name_or_path", "pretrained_model_name_or_path"), "path"),
        **{"model_revision": "revision"},
        **{"attn_implementation": "attention", "flash_attn": "attention"},
    }

    path: Annotated[str, path_like]  # model on a hub (Qwen/Qwen3-4B, modelscope://…) or a local folder
    revision: Annotated[str | None, filled] = None  # branch, tag or commit on the hub; null is the hub's default
    # how attention is computed; auto is per_sequence: within each sequence of a batch, by the varlen kernel of
    # flash-attn or torch on a GPU, by SDPA elsewhere; the others are transformers' own
    attention: Literal["auto", "per_sequence", "sdpa", "eager", "flash_attention_2", "flash_attention_3"] = "auto"
    initialize: Literal["pretrained", "random"] = "pretrained"  # random ignores the weights: training from scratch
    trust_remote_code: bool = False  # run the Python code that comes with the model
    # the loss that keeps the routers of a mixture of experts in balance, in training; auto is on where
    # routers are trained, and where the model's own configuration asks for it
    router_aux_loss: Literal["auto", "on", "off"] = "auto"
    # by how much it counts beside the stage's loss; null is what the model's configuration says
    router_aux_loss_coef: Annotated[float | None, at_least(0, most=1_000)] = None
    # values of the model's own config.json, over those that it comes with: {num_experts_per_tok: 4}
    config: dict[str, Any] = {}
    media: MediaOptions = field(default_factory=MediaOptions)  # in what size images, videos and sounds are shown

    _balances: bool = False  # whether the stage adds the balance loss of a mixture of experts
    _task: Task | None = None  # what the plan does with the model
    _spreads: bool = False  # whether the model is spread over processes once it is loaded
    _method: str = ""  # with which the quantizer stores weights; transformers must see its package

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        problems = self._check_attention(plan)
        if not _lies_in_run(plan):
            problems = [*model_problems(self.path, "model.path"), *problems]
        problems += check_keys(Path(self.path).expanduser(), self.config)
        problems += check_balance(self.router_aux_loss, self.router_aux_loss_coef, plan)
        if self.initialize == "random" and plan.uses("quantizer"):
            problems.append(
                Problem(
                    "model.initialize", "random weights cannot be trained in a quantised model", "drop the quantizer"
                )
            )
        return problems

    def _check_attention(self, plan: Plan) -> list[Problem]:
        package = _FLASH_PACKAGES.get(self.attention)
        if package is None:
            return []
        problems = []
        if importlib.util.find_spec(package) is None:
            advice = f"install {package}, or model.attention=auto"
            problems.append(Problem("model.attention", f"{self.attention} needs the package {package}", advice))
        if plan.get("precision", "auto") == "fp32":
            advice = "precision=bf16, or model.attention=per_sequence"
            problems.append(Problem("model.attention", f"{self.attention} computes in bf16 or fp16 only", advice))
        return problems

    @hookimpl
    def estimate(self, estimate: Estimate, plan: Plan) -> Estimate:
        from tunesmith_library_estimates.models import as_classifier

        from .estimating import estimate_model

        task = task_of(plan) if plan.get("precision", "auto") == "auto" else None
        made = estimate_model(estimate, self.path, self.config, task, plan, self.revision)
        return as_classifier(made) if getattr(plan.traits("stage"), "scores", False) else made

    @hookimpl
    def configured(self, plan: Plan) -> None:
        if self.trust_remote_code:
            announce("code of the model", f"that of {self.path} is run", "model.trust_remote_code=true")
        self._task = task_of(plan)
        self._spreads = getattr(plan.traits("parallel"), "spreads", "") == "fsdp"
        self._method = getattr(plan.traits("quantizer"), "method", "")
        self._balances = getattr(plan.traits("stage"), "balances_experts", False)

    @hookimpl
    def resolve_precision(self, requested: str, path: Path, training: bool) -> Precision:
        from tunesmith_library_loading.importing import collector_at_rest

        with collector_at_rest():
            from tunesmith_library_loading.precision import resolve

        return resolve(requested, path, self._task or Task("adapter" if training else "answers"), self.config)

    @hookimpl
    def load_processor(self, source: ModelSource) -> Any:
        from tunesmith_library_loading.chatter import silence

        silence()
        from tunesmith_library_loading.importing import import_transformers, stored_with

        import_transformers(training=source.training, needed=(self._method, *stored_with(source.path)))
        from tunesmith_library_loading.processors import load_processor

        processor = load_processor(source.path, self.trust_remote_code)
        if placeholders(processor):
            keep_options(processor, self.media)
        return processor

    @hookimpl
    def load_model(self, source: ModelSource, processor: Any, quantization: Any) -> Any:
        from tunesmith_model_transformers.loading import load_model

        model = load_model(
            source,
            processor,
            quantization,
            attention=self.attention,
            random=self.initialize == "random",
            trust_remote_code=self.trust_remote_code,
            overrides=self.config,
            spreads=self._spreads,
        )
        if source.training and self._spreads:
            from tunesmith_library_weights.training import cast_later

            cast_later(model)
        if source.training and self.router_aux_loss == "on":
            from tunesmith_library_training.routing import refuse_without_balance

            refuse_without_balance(model)
        return model

    @hookimpl(wrapper=True)
    def fit(self, job: TrainingJob) -> Generator[None, Any, Any]:
        """Decide on the balance loss of a mixture of experts, when it is known what is trained."""
        from tunesmith_library_training.routing import choose_balance

        choose_balance(job.model, self.router_aux_loss, self.router_aux_loss_coef, self._balances)
        return (yield)


def _lies_in_run(plan: Plan) -> bool:
    """Whether what is asked for is a run that holds its whole model, which needs no base."""
    origin = plan.origins.get(Key("model", "path"))
    if plan.command == "train" or origin is None:
        return False
    record = Path(origin.source)
    return record.name == "run.yaml" and (record.parent / "config.json").is_file()
