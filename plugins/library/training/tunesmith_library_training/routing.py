"""The balance loss of a mixture of experts: what keeps routers from sending every token to the same few experts.

E Σ_i f_i P_i, with f_i the tokens that expert i is given and P_i the mean probability that the router gives it, both by
token over all layers (Fedus et al. 2021, "Switch Transformers", arXiv 2101.03961, equations 4 to 6); transformers
computes it where a model's configuration says `output_router_logits`, over the tokens that are no padding.
"""

from __future__ import annotations

from typing import Any

import torch
from tunesmith import TunesmithError, announce
from tunesmith_library_weights.experts import routers

from tunesmith_library_training import head

_COEFFICIENTS = ("router_aux_loss_coef", "aux_loss_coef")  # what configurations call it


def routing_loss(model: Any, outputs: Any, num_items: Any) -> Any:
    """The balance loss of what a model just gave times its coefficient, as a sum over items; 0.0 where it has none."""
    auxiliary = _auxiliary(outputs)
    if auxiliary is None:
        return 0.0
    return coefficient_of(head.unwrap(model).config) * auxiliary * num_items


def routing_metrics(outputs: Any, num_items: Any) -> dict[str, torch.Tensor]:
    """What is logged of it, without the coefficient: K for K experts per token and routers in perfect balance."""
    auxiliary = _auxiliary(outputs)
    return {} if auxiliary is None else {"router_aux_loss": auxiliary.detach().float() * num_items}


def coefficient_of(config: Any) -> float:
    """By how much a configuration says that the balance loss counts; 0.0 where it does not say."""
    text = config.get_text_config()
    return float(next((getattr(text, name) for name in _COEFFICIENTS if getattr(text, name, None) is not None), 0.0))


def coefficient_in_use(model: Any) -> float | None:
    """The coefficient of a model's balance loss, 0.0 where it is off, None where it has none; for other loops."""
    config = head.unwrap(model).config
    text = config.get_text_config()
    if not hasattr(text, "output_router_logits"):
        return None
    return coefficient_of(config) if text.output_router_logits else 0.0


def refuse_without_balance(model: Any) -> None:
    """Raises: TunesmithError when a model has no balance loss that could be switched on."""
    text = model.config.get_text_config()
    if not hasattr(text, "output_router_logits") or not routers(model):
        what = "is no mixture of experts" if not routers(model) else "keeps its routers in balance in another way"
        raise TunesmithError(
            f"model.router_aux_loss=on: {type(model).__name__} {what}.\n  leave model.router_aux_loss out"
        )


def choose_balance(model: Any, wanted: str, coefficient: float | None, has_place: bool = True) -> None:
    """Switch the balance loss of a model that is about to be trained on or off, and say which.

    Args:
        model: as the trainer gets it, with the adapter in it.
        wanted: `on`, `off`, or `auto`: on where routers are trained, and where the model's own configuration says so.
        coefficient: in place of the one that the model's configuration has.
        has_place: whether the stage adds it to its own loss; where not, nothing is changed.
    """
    base = head.unwrap(model)
    text, found = base.config.get_text_config(), routers(base)
    if not found or not hasattr(text, "output_router_logits"):
        return
    if not has_place:
        announce("balance loss of the routers", "none", "the stage's loss has no place for it")
        return
    if coefficient is not None:
        name = next((name for name in _COEFFICIENTS if hasattr(text, name)), _COEFFICIENTS[0])
        setattr(text, name, coefficient)
    trained = any(parameter.requires_grad for router in found.values() for parameter in router.parameters())
    if wanted == "auto":
        on = trained or bool(text.output_router_logits)
        why = "routers are trained" if trained else "the model's config" if on else "no router is trained"
    else:
        on, why = wanted == "on", "model.router_aux_loss"
    text.output_router_logits = base.config.output_router_logits = on
    announce("balance loss of the routers", f"times {coefficient_of(base.config):g}" if on else "off", why)


def _auxiliary(outputs: Any) -> torch.Tensor | None:
    auxiliary = getattr(outputs, "aux_loss", None)
    return auxiliary if isinstance(auxiliary, torch.Tensor) else None
