"""A step in which memory runs out is made again in smaller forward passes: the same examples, sums and gradients.

Gradients of the step are dropped and its passes made again; so a step counts as a whole or not at all, and the run
goes on from it. Passes stay as small as that from there on, in a run that goes on from a checkpoint too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import Trainer
from tunesmith.messages import logger
from tunesmith.types import TrainingJob
from tunesmith_library_training import processes, remembering
from tunesmith_library_training.envelope import Run
from tunesmith_library_training.own_checkpoints import OwnCheckpoints

from tunesmith_trainer_transformers.merging import Merging
from tunesmith_trainer_transformers.passes import PIECES, Cutter, Piece, tokens
from tunesmith_trainer_transformers.shortage import ended, first_line, give_back, is_shortage
from tunesmith_trainer_transformers.sums import Sums

_NOT_AGAIN = "a single example is too large, and the layers of this model cannot be computed again"
_ONE = "a single example is too large, with activations computed again"

MESSAGES = (_NOT_AGAIN, _ONE, "the stage is not known")
"""Why a run cannot go on by itself, for catalogues of other languages."""


class Recovering(OwnCheckpoints, Trainer):
    """A Trainer that makes a step again where memory does not hold it."""

    run: Run
    job: TrainingJob
    sums: Sums
    cutter: Cutter
    merging: Merging | None
    not_additive: str  # why examples may have another loss in a batch with others; empty where they have not
    piece: Piece  # that is computed

    def begin_step(self) -> None:
        """Note what a step that is made again begins with."""
        self._done: list[Piece] = []  # passes of the step that were made
        self._told = torch.zeros((), device=self.args.device)  # their loss, as transformers was told it
        self._before = self.sums.kept(), remembering.snapshot(self.job.model)

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        """The forward and backward passes of a micro-batch; none where it is part of a later one of its step."""
        found: Sequence[Piece] = inputs.get(PIECES, ())
        self.before_first_pass(model)
        waiting = [part for piece in found for part in self.cutter.cut(piece)]
        loss = torch.zeros((), device=self.args.device)
        while waiting:
            failed = self._pass(model, waiting[0], num_items_in_batch)
            if isinstance(failed, torch.Tensor):
                loss += failed
                self._done.append(waiting.pop(0))
                continue
            self.lessen(waiting[0], failed)
            self._begin_again(model)
            loss = -self._told
            waiting = [part for piece in [*self._done, *waiting] for part in self.cutter.cut(piece)]
            self._done = []
        self._told += loss
        return loss

    def before_first_pass(self, model: Any) -> None:
        """Called before each micro-batch, when everything is ready for it."""

    def _pass(self, model: Any, piece: Piece, items: Any) -> torch.Tensor | str:
        """The loss of a pass, or what the allocator said: outside of the error's frames nothing holds its memory."""
        self.piece = piece
        try:
            return super().training_step(model, piece.batch, items)
        except (RuntimeError, MemoryError) as error:
            if not is_shortage(error):
                raise
            why = self.cannot_go_on(piece)
            if why:
                raise ended(self.run.job.output_dir, error, why, self.change_for(piece)) from error
            return first_line(error)

    def _begin_again(self, model: Any) -> None:
        """Drop what the passes of this step left."""
        model.zero_grad()
        sums, remembered = self._before
        self.sums.restore(sums)
        remembered()
        give_back(self.args.device)

    def cannot_go_on(self, piece: Piece) -> str:
        """Why a pass cannot be made again in smaller ones; empty where it can."""
        if processes.count() > 1:
            return f"{processes.count()} processes make a step together, and the others are in the middle of it"
        if _updates_within(self.job.model):
            return "weights are updated within the backward pass, and some of this step's have been"
        if piece.count > 1:
            return self.not_additive
        if not getattr(self.job.model, "supports_gradient_checkpointing", False):
            return _NOT_AGAIN
        if _computes_again(self.job.model):
            return _ONE
        return ""

    def change_for(self, piece: Piece) -> str:
        """The override with which a run needs less than for this pass; empty where only other plugins have one."""
        if piece.count > self.args.per_device_train_batch_size:
            return "trainer.merge_accumulation=false"
        if piece.count > 1 and not _updates_within(self.job.model):
            return f"trainer.per_device_train_batch_size={piece.count // 2}"
        return "" if _computes_again(self.job.model) else "trainer.gradient_checkpointing=true"

    def lessen(self, piece: Piece, said: str) -> None:
        """Have less in memory at once from here on, and say it.

        Args:
            piece: that was too large.
            said: by the allocator.
        """
        if piece.count == 1:
            _compute_again(self.job.model)
            done = "activations are computed again in the backward pass from here on"
        elif self.merging is not None:
            size = sum(map(tokens, self.cutter.examples_of(piece)))
            self.cutter.limits.lower(None, size // 2)
            self.merging.budget = size // 2
            done = f"forward passes have up to {size // 2:,} tokens from here on, in place of {size:,}"
        else:
            self.cutter.limits.lower(piece.count // 2, None)
            done = (
                f"forward passes have up to {piece.count // 2} examples from here on, in place of {piece.count}, "
                "and twice as many make a step"
            )
        logger.warning(
            "step %d: there is no memory left (%s); %s. The step is made again: the same examples, and the same sums",
            self.state.global_step + 1,
            said,
            done,
        )


def _updates_within(model: Any) -> bool:
    """Whether weights are updated as soon as their gradients are there."""
    return any(getattr(weight, "_post_accumulate_grad_hooks", None) for weight in model.parameters())


def _computes_again(model: Any) -> bool:
    names = ("is_activation_checkpointing", "is_gradient_checkpointing")  # in newer and older transformers
    return bool(next((getattr(model, name) for name in names if hasattr(type(model), name)), False))


def _compute_again(model: Any) -> None:
    """Switch it on, under the name that the installed transformers has for it."""
    enable: Callable[..., None] | None = getattr(model, "activation_checkpointing_enable", None)
    (enable or model.gradient_checkpointing_enable)({"use_reentrant": False})
