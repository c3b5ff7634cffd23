"""Proximal policy optimization (Schulman et al. 2017, arXiv 1707.06347) of a language model, from rewards for whole
answers, tied to a reference by a KL penalty (Ziegler et al. 2019, arXiv 1909.08593).

The plugin is this light class; the loop is in `loop`, its mathematics in `loss`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tunesmith import announce, hookimpl, plugin
from tunesmith.types import LoadModel, Problem, Row, TrainingJob
from tunesmith_library_chat import ChatTemplate

if TYPE_CHECKING:
    from tunesmith.planning import Plan

# option -> the least it may be, the greatest
_RANGES: dict[str, tuple[float, float]] = {
    "total_steps": (1, float("inf")),
    "batch_size": (1, float("inf")),
    "mini_batch_size": (1, float("inf")),
    "ppo_epochs": (1, float("inf")),
    "max_prompt_length": (1, float("inf")),
    "max_new_tokens": (1, float("inf")),
    "temperature": (1e-3, float("inf")),
    "clip_range": (1e-6, 1),
    "gamma": (0, 1),
    "lam": (0, 1),
    "init_kl_coef": (0, float("inf")),
    "kl_horizon": (1, float("inf")),
    "logging_steps": (1, float("inf")),
    "eval_steps": (0, float("inf")),
}


@plugin
class Ppo:
    """Learn from rewards: answers are generated, scored, and the likelier made the better they are.

    A value head on the model predicts the reward of an answer from each of its tokens on. The stage brings its own
    loop; the options of the trainer do not count. Under torchrun every process has a device of its own and takes its
    share of each batch. Needs rows with a `prompt`, or conversations, whose last answer becomes the column `answer` for
    the rewards.
    """

    total_steps: int = 200  # each generates batch_size answers and learns from them
    batch_size: int = 64  # answers of a step, over all processes
    # answers in a forward pass and an optimizer step, over all processes; also generated together
    mini_batch_size: int = 8
    ppo_epochs: int = 4  # passes over the answers of a step

    learning_rate: float = 1e-5  # of the model
    value_learning_rate: float = 1e-4  # of the value head
    lr_scheduler_type: Literal["linear", "constant"] = "linear"  # course of both: to 0 at the last step, or level
    weight_decay: float = 0.0  # decoupled weight decay
    max_grad_norm: float = 1.0  # longest gradient (2-norm over all trained weights); 0 does not clip

    max_prompt_length: int = 1024  # tokens of a prompt; rows with a longer one are left out
    max_new_tokens: int = 128  # tokens of an answer, at most
    temperature: float = 1.0  # of the drawing of answers; the objective counts with it, too
    missing_end_penalty: float = 0.0  # taken off the reward of an answer that was cut at max_new_tokens

    clip_range: float = 0.2  # ε: how far the ratio of new to old probability of a token counts
    value_clip_range: float = 0.2  # how far a value may move from the old one; 0 does not clip
    value_coef: float = 0.1  # weight of the value loss
    entropy_coef: float = 0.0  # weight of the entropy, which is made larger
    gamma: float = 1.0  # discount of later rewards
    lam: float = 0.95  # λ of generalized advantage estimation (arXiv 1506.02438)
    whiten_rewards: bool = False  # divide the rewards of tokens by their standard deviation over the batch
    whiten_advantages: bool = True  # give the advantages of the batch mean 0 and standard deviation 1
    target_kl: float | None = None  # end a step's passes when a token's policy moved this far (nats); null never

    init_kl_coef: float = 0.05  # penalty per nat by which a token is likelier than with the reference; 0 needs none
    kl_target: float | None = None  # nats per answer to which the penalty adapts (6 in the paper); null keeps it
    kl_horizon: float = 10000.0  # answers over which the penalty adapts
    # model of the KL penalty, on a hub or a folder; null is the model as it is before training
    reference: str | None = None
    reference_adapter: str | None = None  # folder of the adapter that the reference model has

    logging_steps: int = 1  # steps from one logged step to the next
    # steps from one evaluation of the held-out prompts to the next, and one after the last step; 0 never
    eval_steps: int = 50
    save_steps: int = 50  # steps from one checkpoint to the next; 0 saves none but at an interruption
    save_total_limit: int | None = 2  # newest checkpoints to keep; null keeps all
    use_cpu: bool = False  # train on the CPU although there is an accelerator

    _trained: ClassVar[tuple[str | None, Any]] = (None, None)  # address of the model, and of the adapter it starts from
    _reference: ClassVar[Any] = None
    _reported: ClassVar[bool] = False

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        self._trained = (plan.get("model.path"), plan.get("adapter.path"))  # type: ignore[misc]
        problems = [
            Problem(f"stage.{name}", f"stage.{name}={getattr(self, name)} is out of range.", f"{low:g} to {high:g}")
            for name, (low, high) in _RANGES.items()
            if not low <= getattr(self, name) <= high
        ]
        if plan.command == "train" and not plan.uses("reward"):
            message, advice = "stage.ppo learns from rewards, and none is selected.", "for example: reward.numeric={}"
            problems.append(Problem("reward", message, advice))
        return [*problems, *self._unequal_shares()]

    def _unequal_shares(self) -> list[Problem]:
        """Every process must get as many answers as the others."""
        count = int(os.environ.get("WORLD_SIZE", "1"))
        return [
            Problem(
                f"stage.{name}",
                f"stage.{name}={size} is no multiple of {count} processes.",
                f"{-(-size // count) * count}",
            )
            for name, size in (("batch_size", self.batch_size), ("mini_batch_size", self.mini_batch_size))
            if size % count
        ]

    @hookimpl
    def encode(self, rows: Sequence[Row], processor: Any, template: ChatTemplate) -> dict[str, list[Any]]:
        from tunesmith_stage_ppo.prompts import encode_prompts, warn_of_longer

        columns, longer = encode_prompts(rows, processor, template, self.max_prompt_length, "ppo")
        if longer and not self._reported:
            self._reported = True  # type: ignore[misc]
            warn_of_longer("ppo", longer, len(rows), self.max_prompt_length)
        return columns

    @hookimpl
    def prepare(self, job: TrainingJob, load: LoadModel) -> None:
        import torch
        from tunesmith_library_training.reference import Reference
        from tunesmith_library_weights.switching import begins_as_base

        if not self.init_kl_coef:
            return
        model, adapter = self._trained
        other = None
        in_bf16 = torch.autocast(job.model.device.type, torch.bfloat16, enabled=job.precision == "bf16")
        if self.reference or self.reference_adapter:
            other = load(self.reference or model, adapter=self.reference_adapter)
        else:
            with in_bf16:
                begins = begins_as_base(job.model)
            if not begins:
                announce("reference", "a second model", "the model as it is before training")
                other = load(model, adapter=adapter)
        self._reference = Reference(other)  # type: ignore[misc]

    @hookimpl
    def fit(self, job: TrainingJob) -> bool:
        from tunesmith_stage_ppo.loop import fit

        return fit(self, job, self._reference)
