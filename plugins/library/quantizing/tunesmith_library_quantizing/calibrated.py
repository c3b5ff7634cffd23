"""The hooks that quantizers which look at training data have in common.

Outside training there is no data to look at. So a run stores the model that it quantised in RUN/quantized, in the
format that vLLM and transformers load, and whoever loads the run takes it from there.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from tunesmith import TunesmithError, announce, hookimpl
from tunesmith.ranges import at_least
from tunesmith.types import Batch, ModelSource, Problem, TrainingJob
from tunesmith_library_estimates.estimation import Estimate

if TYPE_CHECKING:
    from tunesmith.planning import Plan

    from tunesmith_library_quantizing.quantising import Quantised

FOLDER = "quantized"
_FEW = 32  # examples that are enough to calibrate with, at some loss

GroupSize = Annotated[int, at_least(-1, most=65_536)]
"""Weights of a row that share one scale and zero point: -1 for the whole row, else a multiple of 8."""
Count = Annotated[int, at_least(1, most=100_000_000)]


class Calibrated:
    """A quantizer by training data; what is its own is `calibrate`, and the options with their defaults."""

    name: ClassVar[Literal["gptq", "awq"]]  # of the plugin
    bits: Literal[2, 3, 4, 8]  # bits per weight
    group_size: GroupSize  # weights of a row that share one scale and zero point; -1 is the whole row
    samples: Count  # training examples to look at
    sample_length: Count  # tokens of an example to look at
    skip_modules: list[str]  # layers that keep their numbers

    _quantised: Any = None  # what this process quantised, until it is stored
    _waiting: Any = None  # a model that was loaded without data, and the hook that says so

    @abstractmethod
    def calibrate(self, model: Any, batches: Iterator[Batch]) -> Quantised:
        """Quantise the loaded model, in place."""

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        if self.group_size == -1 or (self.group_size > 0 and self.group_size % 8 == 0):
            return []
        message = f"quantizer.group_size={self.group_size} is no size of a group."
        return [Problem("quantizer.group_size", message, "32, 64 or 128; -1 for one group per row")]

    @hookimpl
    def estimate(self, estimate: Estimate) -> Estimate:
        from tunesmith_library_estimates.changes import Change

        from tunesmith_library_quantizing.estimating import estimate_packed

        length = min(self.sample_length, estimate.data.tokens or self.sample_length)
        if self.samples > _FEW:
            fewer = Change((f"quantizer.samples={_FEW}",), "exactness", f"{_FEW} examples to calibrate with")
            estimate = estimate.offering(fewer)
        return estimate_packed(
            estimate,
            bits=self.bits,
            group_size=self.group_size,
            skip=self.skip_modules,
            tokens=min(self.samples, estimate.data.examples or self.samples) * length,
            method=self.name,
        )

    @hookimpl
    def quantization_config(self, source: ModelSource) -> Any:
        """What transformers loads a model with that is stored in few bits; None for one that is stored in full.

        Raises: TunesmithError when it is stored in another way than GPTQ or AWQ.
        """
        from tunesmith_library_quantizing.loading import stored

        return stored(source.path)

    @hookimpl
    def quantize(self, model: Any, calibration: Callable[[], Iterator[Batch]] | None) -> Any:
        """Replace the linear layers of the decoder layers; what is stored in few bits stays as it is.

        Raises: TunesmithError when the layers cannot be cut into groups, or the data gives no activations.
        """
        from tunesmith_library_weights.dequantising import dequantise, is_wanted
        from tunesmith_library_weights.mapped import copy_out
        from tunesmith_library_weights.shares import say_bits

        from tunesmith_library_quantizing.linear import PackedLinear
        from tunesmith_library_quantizing.quantising import is_packed

        if is_wanted() and is_packed(model):
            return dequantise(model, {PackedLinear: PackedLinear.in_float32})
        if is_packed(model):
            announce("quantizer", "the bits that the model is stored in", "its config.json")
        elif calibration is not None:
            self._quantised = self.calibrate(model, calibration())
        else:
            self._waiting = (model, model.register_forward_pre_hook(self._refuse))
        if self._waiting is None:
            say_bits(model, "in few bits", (PackedLinear,))
        return model if self._quantised is None else copy_out(model)

    @hookimpl(wrapper=True)
    def apply_adapter(self, model: Any, trained: Path | None, source: ModelSource) -> Generator[None, Any, Any]:
        """Take a run's quantised layers from its folder, before its adapter is put over them."""
        waiting, self._waiting = self._waiting, None
        if trained is not None and source.path.resolve() == (trained / FOLDER).resolve():
            self._refuse_scaled(trained)
        if waiting is not None and trained is not None:
            from tunesmith_library_weights.shares import say_bits

            from tunesmith_library_quantizing.checkpoint import restore
            from tunesmith_library_quantizing.linear import PackedLinear

            if not (trained / FOLDER).is_dir():
                raise TunesmithError(
                    f"{trained} was not trained over quantizer={self.name}: it holds no {FOLDER}.\n"
                    "  leave the quantizer out to load the run as it was trained"
                )
            restore(model, trained / FOLDER)
            say_bits(model, "in few bits", (PackedLinear,))
            waiting[1].remove()
        elif waiting is not None and source.training:
            self._refuse()
        return (yield)

    @hookimpl(wrapper=True)
    def fit(self, job: TrainingJob) -> Generator[None, Any, Any]:
        """Store what was quantised, or take from the folder what an interrupted run had stored."""
        from tunesmith_library_configuration.launchers import is_main_process

        quantised, self._quantised = self._quantised, None
        if quantised is not None and job.resume and (job.output_dir / FOLDER).is_dir():
            quantised.read(job.output_dir / FOLDER)
        elif quantised is not None and is_main_process():
            quantised.write(job.output_dir / FOLDER, job.processor)
        return (yield)

    def _refuse_scaled(self, trained: Path) -> None:
        """An adapter knows the inputs of the model as it was; in the stored one the norms give scaled inputs."""
        from tunesmith_library_quantizing.checkpoint import UNSCALED

        if (trained / FOLDER / UNSCALED).is_dir():
            raise TunesmithError(
                f"{trained / FOLDER} has its scales in the norms, and the adapter was trained without them.\n"
                "  load the run as it was trained, without another model.path"
            )

    def _refuse(self, *_: Any) -> None:
        raise TunesmithError(
            f"quantizer={self.name} has no data to calibrate with: there is none outside training, nor with a stage "
            "that makes its own batches.\n"
            f"  model.path=RUN/{FOLDER} of a run that was trained over it, or another model that is stored quantised"
        )
