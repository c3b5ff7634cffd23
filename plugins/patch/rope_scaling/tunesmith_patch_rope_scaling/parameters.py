"""From a model's configuration to the `rope_parameters` that stretch it: what transformers and vLLM read.

The two agree on `rope_parameters`, but the reach of a model stands in different places: `linear` and `dynamic` multiply
`max_position_embeddings` by the factor, `yarn` the `original_max_position_embeddings`, the others have the reach in
`max_position_embeddings`. Where kinds of layers have parameters of their own, it always stands there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tunesmith import TunesmithError, announce
from tunesmith.messages import logger

_WINDOWED = ("sliding_attention", "chunked_attention")  # layers that never look far back
_KNOWN = ("full_attention", *_WINDOWED)
_OF_ONE_FACTOR = ("factor", "attention_factor")
_WITH_ORIGINAL = ("yarn", "llama3", "longrope")  # types that write the original length down
_FOREVER = ("rope_theta", "partial_rotary_factor", "mrope_section", "mrope_interleaved")  # not of the scaling


@dataclass(frozen=True)
class Scaling:
    """What is wanted of a model."""

    type: str
    factor: float | None = None  # over the original length; None is target / original
    target: int | None = None  # tokens that the model shall read, where there is no factor
    original: int | None = None  # tokens that it read before any scaling; None is what its configuration says
    options: Mapping[str, Any] = field(default_factory=dict)  # of the type


@dataclass(frozen=True)
class Scaled:
    """What goes into a model's configuration."""

    rope_parameters: dict[str, Any]
    max_position_embeddings: int
    original: int
    reach: int  # tokens that the model can read


def scaled_parameters(config: Any, scaling: Scaling) -> Scaled | None:
    """Scale a text model's configuration.

    Args:
        config: the configuration of the text model; it is not changed.

    Returns: the new values, or None when the model reads as much already, in this way or another.
    Raises: TunesmithError for a model without scalable rotary embeddings, or a factor that would shrink.
    """
    present, nested = _entry(config)
    own = present.get("rope_type", "default")
    reach = _reach(config, present, nested)
    original = scaling.original or _original(config, present, nested)
    if scaling.factor is None and (scaling.target or 0) <= reach:
        if own == "default":
            logger.warning("rope scaling: none; the model reads %d tokens, %s are wanted", reach, scaling.target)
        else:
            how = f"{own}, factor {present.get('factor') or 1:g}; it reads {reach} tokens, {scaling.target} are wanted"
            announce("rope scaling", "the model's own", how)
        return None
    factor = scaling.factor or (scaling.target or 0) / original
    if factor <= 1:
        raise TunesmithError(
            f"patch.rope_scaling: {scaling.target} tokens are no more than the original {original}.\n"
            "  give a larger patch.rope_scaling.max_length, or leave the patch out"
        )
    entry = _new_entry(present, scaling, factor, original)
    if entry == dict(present):
        announce("rope scaling", f"{own}, factor {factor:g}", f"the model has it; it reads {reach} tokens")
        return None
    if own != "default":
        logger.warning("rope scaling replaces the model's own: %s, factor %g", own, present.get("factor") or 1)
    if scaling.factor is None:
        announce("rope factor", f"{factor:g}", f"{scaling.target} / {original} tokens")
    reach = round(original * factor)
    held = original if scaling.type in ("linear", "dynamic") and not nested else reach
    return Scaled(_with_entry(config, entry, scaling.type, nested), held, original, reach)


def _entry(config: Any) -> tuple[dict[str, Any], bool]:
    """The rotary parameters of the layers that look far back, and whether other layers have their own."""
    parameters = getattr(config, "rope_parameters", None)
    if not parameters:
        raise TunesmithError(
            f"patch.rope_scaling: {config.model_type} has no rotary position embeddings that could be scaled.\n"
            "  leave the patch out"
        )
    kinds = {kind: entry for kind, entry in parameters.items() if isinstance(entry, Mapping)}
    if not kinds:
        return dict(parameters), False
    unknown = set(kinds) - set(_KNOWN)
    if unknown or "full_attention" not in kinds:
        raise TunesmithError(
            f"patch.rope_scaling: {config.model_type} has rotary parameters for {', '.join(sorted(kinds))}; which of "
            f"them look far back is known for {', '.join(_KNOWN)} only.\n  leave the patch out"
        )
    return dict(kinds["full_attention"]), True


def _with_entry(config: Any, entry: dict[str, Any], rope_type: str, nested: bool) -> dict[str, Any]:
    """All rotary parameters with a new entry; layers with a window keep theirs, for they see no greater distances."""
    if not nested:
        return entry
    if not entry.get("truncate", True):
        raise TunesmithError(
            f"patch.rope_scaling: transformers does not read truncate=false of {config.model_type}, whose kinds of "
            "layers have rotary parameters of their own.\n  leave patch.rope_scaling.truncate out"
        )
    if rope_type == "dynamic":
        raise TunesmithError(
            f"patch.rope_scaling: type=dynamic cannot tell the original length of {config.model_type}, whose kinds of "
            "layers have rotary parameters of their own.\n  use patch.rope_scaling.type=yarn or linear"
        )
    return {**config.rope_parameters, "full_attention": entry}


def _new_entry(present: Mapping[str, Any], scaling: Scaling, factor: float, original: int) -> dict[str, Any]:
    """The parameters of one kind of layer; a scaling of the same type keeps the options that are not given."""
    same = present.get("rope_type") == scaling.type
    kept = [name for name in present if name not in _OF_ONE_FACTOR] if same else _FOREVER
    entry = {name: present[name] for name in kept if name in present}
    entry |= {"rope_type": scaling.type, "factor": float(factor), **scaling.options}
    if scaling.type in _WITH_ORIGINAL:
        entry["original_max_position_embeddings"] = original
    return entry


def _original(config: Any, present: Mapping[str, Any], nested: bool) -> int:
    """How many tokens the model read before any scaling."""
    written = present.get("original_max_position_embeddings") or getattr(
        config, "original_max_position_embeddings", None
    )
    if written:
        return int(written)
    multiple = float(present.get("factor") or 1) if nested and present.get("rope_type") == "linear" else 1.0
    return round(float(config.max_position_embeddings) / multiple)


def _reach(config: Any, present: Mapping[str, Any], nested: bool) -> int:
    """How many tokens the model can read as it stands."""
    own, factor = present.get("rope_type", "default"), float(present.get("factor") or 1)
    held = int(config.max_position_embeddings)
    if own in ("linear", "dynamic") and not nested:
        return round(held * factor)
    if own == "yarn":
        return max(held, round(_original(config, present, nested) * factor))
    return held
