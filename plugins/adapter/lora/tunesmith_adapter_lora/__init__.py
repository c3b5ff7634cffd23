"""LoRA: a frozen base and two thin trained matrices beside each chosen layer, y = W x + (alpha / r) B A x.

Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models" (arXiv 2106.09685); computed by peft.
"""

from __future__ import annotations

import logging
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tunesmith import TunesmithError, announce, hookimpl, plugin
from tunesmith.types import ModelSource, Problem

if TYPE_CHECKING:
    from tunesmith.planning import Plan

_CHANGES_BASE = ("pissa", "olora")  # these initialisations take their part out of the base weights
_FIXED_BY_ADAPTER = {"rank": "r", "alpha": "lora_alpha", "use_dora": "use_dora", "use_rslora": "use_rslora"}


@plugin
class Lora:
    """LoRA with its variants rsLoRA, DoRA, PiSSA and OLoRA."""

    rank: int = 8  # rank r of the trained matrices
    alpha: int | None = None  # scale: alpha / rank (rsLoRA: alpha / √rank); null is 2 × rank
    dropout: float = 0.0  # probability with which an input of the trained matrices is dropped in training
    # layers to adapt: names, parts of dotted names, or patterns with `*`; `all`: all linear layers but the output head
    target_modules: list[str] | str = "all"
    exclude_modules: list[str] = field(default_factory=list)  # layers to leave out again, written the same way
    # modules trained and saved whole beside the adapter, such as embed_tokens and lm_head
    modules_to_save: list[str] = field(default_factory=list)
    bias: Literal["none", "all", "lora_only"] = "none"  # which biases of the base are trained too
    use_rslora: bool = False  # scale by alpha / √rank, stable for high ranks (arXiv 2312.03732)
    use_dora: bool = False  # train magnitude and direction apart (DoRA, arXiv 2402.09353); slower
    # start: true is A random, B zero; pissa (arXiv 2404.02948) and olora (arXiv 2406.01775) start from the base
    init: bool | Literal["gaussian", "orthogonal", "pissa", "olora"] = True
    path: str | None = None  # folder of an adapter to go on training; its own rank, alpha and targets hold

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        problems = []
        if self.rank < 1:
            problems.append(Problem("adapter.rank", f"adapter.rank={self.rank} is no rank.", "possible: 1, 2, 3, …"))
        if not 0 <= self.dropout < 1:
            message = f"adapter.dropout={self.dropout} is no probability to drop with."
            problems.append(Problem("adapter.dropout", message, "possible: from 0 to below 1"))
        if self.init == "orthogonal" and self.rank % 2:
            message = f"adapter.init=orthogonal needs an even rank, not {self.rank}."
            problems.append(Problem("adapter.init", message, f"adapter.rank={self.rank + 1}"))
        if self.path and plan.command == "train" and not _holds_adapter(Path(self.path)):
            message = f"adapter.path={self.path} holds no adapter (no adapter_config.json)."
            problems.append(Problem("adapter.path", message, "the folder of a run that trained an adapter"))
        return problems + self._check_quantizer(plan)

    def _check_quantizer(self, plan: Plan) -> list[Problem]:
        problems, quantizer = [], plan.name("quantizer")
        if quantizer and self.init in _CHANGES_BASE:
            message = f"adapter.init={self.init} changes the base weights, but quantizer={quantizer} rounds them."
            problems.append(Problem("adapter.init", message, "adapter.init=true, or quantizer=null"))
        if self.use_dora and quantizer == "bitsandbytes" and plan.get("quantizer.bits") == 8:
            message = "adapter.use_dora=true cannot train over the 8-bit weights of quantizer=bitsandbytes."
            problems.append(Problem("adapter.use_dora", message, "quantizer.bits=4, or adapter.use_dora=false"))
        return problems

    @hookimpl
    def apply_adapter(self, model: Any, trained: Path | None, source: ModelSource) -> Any:
        folder = trained or (Path(self.path) if self.path else None)
        adapted = self._load(model, folder, source, fixed=trained is None) if folder else self._make(model)
        if source.training:
            _float32_where_trained(adapted)
            _announce_size(adapted)
        return adapted

    @hookimpl
    def merge_adapter(self, model: Any) -> Any:
        from .merging import merge

        return merge(model)

    def _make(self, model: Any) -> Any:
        """Put fresh matrices beside the chosen layers."""
        from peft import LoraConfig, get_peft_model

        from .targets import keeps_tied, pick_targets, refuse_unknown_modules

        refuse_unknown_modules("modules_to_save", self.modules_to_save, model)
        config = LoraConfig(
            r=self.rank,
            lora_alpha=2 * self.rank if self.alpha is None else self.alpha,
            lora_dropout=self.dropout,
            target_modules=pick_targets(model, self.target_modules, [*self.exclude_modules, *self.modules_to_save]),
            modules_to_save=list(self.modules_to_save) or None,
            ensure_weight_tying=keeps_tied(model, self.modules_to_save),
            bias=self.bias,
            use_rslora=self.use_rslora,
            use_dora=self.use_dora,
            init_lora_weights=self.init,
            task_type="CAUSAL_LM" if model.can_generate() else None,
        )
        try:
            return get_peft_model(model, config)
        except (ValueError, TypeError) as error:
            raise TunesmithError(f"peft cannot adapt this model: {error}") from error

    def _load(self, model: Any, folder: Path, source: ModelSource, fixed: bool) -> Any:
        """Put saved matrices beside the layers that they were trained for.

        Raises: TunesmithError when the folder holds no adapter, or when an option contradicts it.
        """
        from peft import PeftConfig, PeftModel

        if not _holds_adapter(folder):
            raise TunesmithError(f"{folder} holds no adapter (no adapter_config.json)")
        config = PeftConfig.from_pretrained(str(folder))
        if config.peft_type != "LORA":
            raise TunesmithError(f"{folder} holds an adapter of type {config.peft_type}, not LoRA")
        if fixed:
            self._refuse_contradictions(config, folder)
        return PeftModel.from_pretrained(
            model, str(folder), is_trainable=source.training, autocast_adapter_dtype=source.training
        )

    def _refuse_contradictions(self, config: Any, folder: Path) -> None:
        """An option that was changed from its default must be what the adapter to go on with has."""
        fresh = type(self)()
        for name, theirs in _FIXED_BY_ADAPTER.items():
            asked, found = getattr(self, name), getattr(config, theirs)
            if asked != getattr(fresh, name) and asked != found:
                raise TunesmithError(
                    f"adapter.{name}={asked}: the adapter to go on with has {found} ({folder}).\n"
                    f"  leave adapter.{name} out, or leave adapter.path out for a fresh adapter"
                )
        announce("adapter", f"rank {config.r}, alpha {config.lora_alpha}", f"from {folder}")


def _holds_adapter(folder: Path) -> bool:
    return (folder / "adapter_config.json").is_file()


def _float32_where_trained(model: Any) -> None:
    """Trained weights are kept in float32: steps of 1e-4 vanish in bfloat16's 8 bits."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def _announce_size(model: Any) -> None:
    trained, total = model.get_nb_trainable_parameters()
    if not trained:
        logging.getLogger("tunesmith").warning("this adapter has no trainable weights")
    share = f"{trained:,} of {total:,} parameters ({trained / total:.2%})"
    announce("trained", share, f"LoRA of rank {model.peft_config[model.active_adapter].r}")
