"""A loss, a gradient or a weight that is NaN or infinite ends a run before anything of it is saved.

Loops hand over what they compute at every step; it stays on the device. It is read when a step is logged, and always
before a checkpoint, an evaluation and the result. So no step waits for its device because of this, the step and the
examples where it began are known all the same, and the last checkpoint is always a finite one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith.errors import Interrupted
from tunesmith.types import TrainingJob
from tunesmith_library_chat import tokenizer_of

from tunesmith_library_training import checkpoints, processes

_HELD = 512  # values that are kept on the device, at most
_SHOWN = 8  # examples whose text is shown
_TOKENS = 24  # of each of them
_ADVICE = (
    "try a lower learning rate, a longer warm-up, a smaller max_grad_norm, bf16 or fp32 in place of fp16, and look at "
    "the examples: tunesmith data show"
)
_BASE = (
    "no learning rate mends that: fetch the model anew, or take another one, another revision, or bf16 or fp32 in "
    "place of fp16, in which large weights become infinite"
)


class NonFinite(Interrupted):
    """A run ended because its numbers are not finite any more; it can go on from its last checkpoint.

    Unchanged it would end there again, so that its exit code is not that of runs to be continued as they are.
    """

    code = 76


@dataclass(frozen=True)
class _Seen:
    step: int
    what: str
    value: Any  # a scalar tensor, or a float
    examples: Sequence[int | str]


@dataclass(frozen=True, order=True)
class _Bad:
    step: int
    follows: bool  # from a loss that is not finite, maybe another process's: a gradient
    what: str
    examples: tuple[str, ...]


class Guard:
    """Watches the numbers of one process of a run."""

    def __init__(self, job: TrainingJob) -> None:
        self.job = job
        self._seen: list[_Seen] = []
        self._bad: _Bad | None = None  # the first
        self._broken = _weights_of(getattr(job, "model", None))  # of those to be trained, before the first step

    def see(self, what: str, value: Any, step: int, examples: Sequence[int | str] = ()) -> None:
        """Take note of a value of the step that is being made; nothing is waited for.

        Args:
            what: `loss`, `gradient`.
            value: a scalar, on whatever device.
            step: the number that the step will have when it is made.
            examples: what it was computed of: places in the training data, or texts.
        """
        self._seen.append(_Seen(step, what, value if isinstance(value, float) else value.detach(), examples))
        if len(self._seen) >= _HELD:
            self._read()

    def check(self, *models: Any) -> None:
        """Read what was seen since the last time. All processes call it.

        Args:
            models: whose trained weights are looked at too, as they are about to be saved or measured.

        Raises: NonFinite on all processes, with the step at which it began, the examples, and what to try.
        """
        self._read()
        weights = [] if self._bad else [name for model in models for name in _weights_of(model)]
        every = processes.gathered((self._bad, weights, self._broken_in_the_base() if self._bad else []))
        seen = [bad for bad, *_ in every if bad is not None]
        if seen:
            first = min(seen)
            alike = [bad for bad in seen if (bad.step, bad.follows) == (first.step, first.follows)]
            examples = [text for bad in alike for text in bad.examples]
            base = dict.fromkeys(name for *_, names in every for name in names)
            raise NonFinite(self._message(f"step {first.step}: the {first.what}", examples, list(base)))
        names = next((names for _, names, _ in every if names), None)
        if names:
            raise NonFinite(self._message(f"trained weights are not finite: {_listed(names)}", []))

    def ended(self, what: str, step: int) -> NonFinite:
        """The end of a run in which something that is not finite has kept a step from being made, in this process."""
        return NonFinite(self._message(f"step {step}: {what}", [], self._broken_in_the_base()))

    def _broken_in_the_base(self) -> list[str]:
        """The weights that were not finite before the run changed any: those not trained are the base's still."""
        names = _weights_of(getattr(self.job, "model", None), trained=False)
        return [name.removeprefix("base_model.model.").replace(".base_layer.", ".") for name in self._broken + names]

    def _read(self) -> None:
        """Find the first value that is not finite, and forget the others."""
        seen, self._seen = self._seen, []
        if self._bad is not None or not seen:
            return
        for item, value in zip(seen, _floats([item.value for item in seen]), strict=True):
            if not math.isfinite(value):
                texts = [self._described(example, place < _SHOWN) for place, example in enumerate(item.examples)]
                self._bad = _Bad(item.step, item.what != "loss", f"{item.what} is {value}", tuple(texts))
                return

    def _described(self, example: int | str, shows: bool) -> str:
        """An example as a message names it: by its place in the training data, and how it begins."""
        if isinstance(example, str):
            return _shortened(example)
        if not shows:
            return str(example)
        columns = self.job.data.train[example]
        name = next((name for name in columns if str(name).endswith("input_ids")), None)
        if name is None:
            return str(example)
        tokens = [int(token) for token in columns[name][:_TOKENS]]
        return f"{example} ({_shortened(tokenizer_of(self.job.processor).decode(tokens))})"

    def _message(self, what: str, examples: list[str], base: Sequence[str] = ()) -> str:
        folder = self.job.output_dir
        lines = [f"{what} (non_finite). The run ends here; nothing of it is saved."]
        if examples:
            hidden = len(examples) - 4 * _SHOWN
            more = f" and {hidden} more" if hidden > 0 else ""
            lines.append(f"examples, by their place in the training data: {', '.join(examples[: 4 * _SHOWN])}{more}")
        if base:
            lines.append(f"the model held weights that are not finite before the first step: {_listed(base)}")
        lines.append(_BASE if base else _ADVICE)
        whole = checkpoints.complete(folder)
        if whole:
            lines.append(f"continue after {whole[-1].name}: tunesmith train {folder} resume=true")
        else:
            lines.append("there is no checkpoint to continue from yet; start again, with overwrite=true")
        return "\n  ".join(lines)


def watch_gradients(accelerator: Any, see: Callable[[Any], None]) -> None:
    """Have `see` called with the norm of each step's gradient, which accelerate computes as it clips it.

    Not where a scaler of fp16 looks for overflows itself: it leaves out such a step, which is as it should be.
    """
    if getattr(accelerator, "scaler", None) is not None or getattr(accelerator, "mixed_precision", "") == "fp16":
        return  # DeepSpeed scales the loss of fp16 itself, without accelerate's scaler
    from tunesmith_library_training.sharding import whole

    clip = accelerator.clip_grad_norm_

    def clip_and_see(*arguments: Any, **options: Any) -> Any:
        norm = clip(*arguments, **options)
        norm = None if norm is None else whole(norm)  # of gradients that are spread, each process has a part
        if norm is not None:
            see(norm)
        return norm

    accelerator.clip_grad_norm_ = clip_and_see


def _weights_of(model: Any, trained: bool = True) -> list[str]:
    """The weights of a model that are not finite, of those that are trained or of the others."""
    from tunesmith_library_weights.finite import frozen_weights, non_finite, trained_weights

    return non_finite(trained_weights(model) if trained else frozen_weights(model))


def _floats(values: Sequence[Any]) -> list[float]:
    """Scalars as floats; the device is waited for once."""
    import torch

    tensors = [value for value in values if isinstance(value, torch.Tensor)]
    if not tensors:
        return [float(value) for value in values]
    device = tensors[0].device
    stacked = torch.stack([value.float().reshape(()).to(device) for value in tensors])
    read = iter(stacked.tolist())
    return [next(read) if isinstance(value, torch.Tensor) else float(value) for value in values]


def _listed(names: Iterable[str]) -> str:
    """The first of many names, and how many others there are."""
    every = list(names)
    more = len(every) - 3
    return ", ".join(every[:3]) + (f" and {more} more" if more > 0 else "")


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return f"“{line[:60]}…”" if len(line) > 60 else f"“{line}”"
