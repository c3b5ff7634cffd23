"""Scaled rotary position embeddings: a model reads longer texts than it was trained on, after a little training.

`linear` is position interpolation (Chen et al. 2023, arXiv 2306.15595), `dynamic` the NTK-aware scaling that follows
the length of the text, `yarn` NTK by parts (Peng et al. 2023, arXiv 2309.00071), `llama3` its variant of Llama 3.1
(arXiv 2407.21783), `longrope` searched factors (Ding et al. 2024, arXiv 2402.13753).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tunesmith import hookimpl, plugin
from tunesmith.ranges import above, at_least
from tunesmith.types import Problem

if TYPE_CHECKING:
    from tunesmith.planning import Plan

_KEY = "patch.rope_scaling"

# the options that belong to each type
_OPTIONS: dict[str, tuple[str, ...]] = {
    "linear": (),
    "dynamic": (),
    "yarn": ("attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim", "truncate"),
    "llama3": ("low_freq_factor", "high_freq_factor"),
    "longrope": ("attention_factor", "short_factor", "long_factor"),
}
_DEFAULTS: dict[str, dict[str, float]] = {"llama3": {"low_freq_factor": 1.0, "high_freq_factor": 4.0}}


@plugin
class RopeScaling:
    """Stretch the rotary position embeddings over longer texts; what is saved and exported has them in config.json."""

    # how the frequencies are stretched: linear divides all of them by the factor; yarn, llama3 only the slow ones;
    # longrope each by its own; dynamic raises the base for texts longer than the original length
    type: Literal["linear", "dynamic", "yarn", "llama3", "longrope"] = "yarn"
    # times the original length; null is max_length / original_max_position_embeddings
    factor: Annotated[float | None, above(1, most=1_000_000)] = None
    # tokens that the model shall read; null is stage.max_length
    max_length: Annotated[int | None, at_least(1, most=100_000_000)] = None
    # tokens that the model read before any scaling; null is what its config.json says
    original_max_position_embeddings: Annotated[int | None, at_least(1, most=100_000_000)] = None
    # yarn, longrope: multiplies cos and sin; null is the papers': 0.1·ln(factor) + 1, √(1 + ln(factor) / ln(original))
    attention_factor: Annotated[float | None, above(0, most=1_000_000)] = None
    # yarn: dimensions of more turns over the original length stay as they are; null is 32
    beta_fast: Annotated[float | None, above(0, most=1_000_000)] = None
    # yarn: dimensions of fewer turns are divided by the factor; null is 1
    beta_slow: Annotated[float | None, above(0, most=1_000_000)] = None
    # yarn: weight of ln(factor) in the attention factor's numerator (DeepSeek)
    mscale: Annotated[float | None, at_least(0, most=1_000_000)] = None
    # yarn: weight of ln(factor) in its denominator (DeepSeek)
    mscale_all_dim: Annotated[float | None, at_least(0, most=1_000_000)] = None
    truncate: bool | None = None  # yarn: round the bounds of the ramp to whole dimensions; null is true
    # llama3: fewer turns over the original length are divided; null is 1
    low_freq_factor: Annotated[float | None, above(0, most=1_000_000)] = None
    # llama3: more turns over the original length stay; null is 4
    high_freq_factor: Annotated[float | None, above(0, most=1_000_000)] = None
    # longrope: divisor of each frequency up to the original length
    short_factor: Annotated[list[float] | None, above(0, most=1_000_000)] = None
    # longrope: divisor of each frequency in longer texts
    long_factor: Annotated[list[float] | None, above(0, most=1_000_000)] = None

    _stage_length: int | None = None  # tokens of the stage's texts

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        problems = [*self._check_factor(plan), *self._check_options(), *self._check_values()]
        if self.type == "dynamic" and plan.command == "train":
            message = "patch.rope_scaling.type=dynamic takes its frequencies from the longest text it has met."
            advice = "training sees other frequencies than use does: yarn or linear is better"
            problems.append(Problem(f"{_KEY}.type", message, advice, severity="warning"))
        return problems

    @hookimpl
    def configured(self, plan: Plan) -> None:
        self._stage_length = plan.get("stage.max_length")

    def _check_factor(self, plan: Plan) -> Iterator[Problem]:
        if self.factor is not None and self.max_length is not None:
            yield Problem(f"{_KEY}.max_length", "factor says already how long texts may be.", "give one of the two")
        if self.factor is None and self.max_length is None and plan.get("stage.max_length") is None:
            advice = f"write {_KEY}.factor=4, or {_KEY}.max_length=32768"
            yield Problem(f"{_KEY}.factor", "neither factor, max_length nor stage.max_length is known.", advice)

    def _check_options(self) -> Iterator[Problem]:
        """Options of another type, and those that this type cannot do without."""
        for name in sorted({name for names in _OPTIONS.values() for name in names}):
            owners = [kind for kind, names in _OPTIONS.items() if name in names]
            if getattr(self, name) is not None and self.type not in owners:
                fitting = ", ".join(_OPTIONS[self.type]) or "none"
                advice = f"it belongs to {' and '.join(owners)}; options of {self.type}: {fitting}"
                yield Problem(f"{_KEY}.{name}", f"type={self.type} has no {name}.", advice)
            elif getattr(self, name) is None and self.type == "longrope" and name in ("short_factor", "long_factor"):
                advice = "the lists come from a search (arXiv 2402.13753, section 3); without one use type=yarn"
                yield Problem(f"{_KEY}.{name}", f"type=longrope needs {name}, one number per frequency.", advice)
        if (self.mscale is None) != (self.mscale_all_dim is None):
            missing = "mscale" if self.mscale is None else "mscale_all_dim"
            yield Problem(f"{_KEY}.{missing}", "mscale and mscale_all_dim only work together.", f"give {missing} too")

    def _check_values(self) -> Iterator[Problem]:
        slow, fast = self.beta_slow or 1, self.beta_fast or 32
        if self.type == "yarn" and not slow < fast:
            yield Problem(f"{_KEY}.beta_fast", f"beta_slow={slow:g}, beta_fast={fast:g}.", "beta_slow < beta_fast")
        low, high = (self._of_type().get(name, 0) for name in _OPTIONS["llama3"])
        if self.type == "llama3" and not low < high:
            message = f"low_freq_factor={low:g}, high_freq_factor={high:g}."
            yield Problem(f"{_KEY}.high_freq_factor", message, "low_freq_factor < high_freq_factor")
        if self.short_factor and self.long_factor and len(self.short_factor) != len(self.long_factor):
            lengths = f"short_factor has {len(self.short_factor)} numbers, long_factor {len(self.long_factor)}."
            yield Problem(f"{_KEY}.long_factor", lengths, "one number per frequency in each")

    def _of_type(self) -> dict[str, Any]:
        """The options of this type, under transformers' names."""
        given = {name: getattr(self, name) for name in _OPTIONS[self.type]}
        return _DEFAULTS.get(self.type, {}) | {name: value for name, value in given.items() if value is not None}

    @hookimpl(wrapper=True)
    def load_model(self, processor: Any) -> Generator[None, Any, Any]:
        """Raises: TunesmithError when the model has no rotary embeddings that can be scaled in this way."""
        model = yield
        from tunesmith_library_chat import tokenizer_of

        from .parameters import Scaling
        from .rebuilding import stretch

        wanted = Scaling(
            type=self.type,
            factor=self.factor,
            target=self.max_length or self._stage_length,
            original=self.original_max_position_embeddings,
            options=self._of_type(),
        )
        return stretch(model, wanted, tokenizer_of(processor))
