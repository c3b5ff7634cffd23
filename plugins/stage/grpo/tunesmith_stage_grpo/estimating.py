"""What a run of TRL's loops takes beside what the trainer's options say. Without torch.

TRL computes the logits of so many tokens and tokens of the vocabulary at a time, anew in the backward pass; without
Triton, on CPUs, beside them as many numbers in float32 as its arithmetic has steps.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tunesmith.planning import Plan
from tunesmith_library_estimates.cache import Answers
from tunesmith_library_estimates.changes import Change
from tunesmith_library_estimates.estimation import Estimate, Memory
from tunesmith_library_estimates.working import Work
from tunesmith_library_training.reference_costs import ReferenceCosts, forward_flops

if TYPE_CHECKING:
    from tunesmith_stage_grpo.options import GroupOptions

_TOKENS, _WIDTH = 4096, 32768  # of a tile, as in trl.kernels.chunked_logprob and trl.trainer.utils
# Bytes for each logit of a tile beside its own, without Triton: forward, and backward
_FORWARD, _BACKWARD = 12, 29


def estimate_groups(options: GroupOptions, estimate: Estimate, plan: Plan) -> Estimate:
    """Add answers that are written, the tile of logits, and a reference."""
    together = estimate.sequences * int(plan.get("trainer.gradient_accumulation_steps") or 1)
    answers = Answers(
        sequences=together,
        prompt=options.max_prompt_length,
        tokens=options.max_completion_length,
        in_step=max(together // options.num_iterations, 1),
    )
    made = replace(estimate, length=answers.length, padded=True, answers=answers, merged=0)
    made = _of_logits(made)
    a_pass = answers.in_step * answers.length * forward_flops(made, answers.length)
    if options.num_iterations > 1:
        made = made.doing("log-probabilities of answers", Work(flops=a_pass, per="step"))
    if options.beta:
        made = ReferenceCosts(passes=1 / options.num_iterations).add(made, plan)
    return made.offering(*_changes(options, together))


def _of_logits(made: Estimate) -> Estimate:
    if not made.vocabulary:
        return made
    on_cpu, computed = made.machine.device == "cpu", 4 if made.precision == "fp32" else 2
    # Triton's devices compute answers alone
    scored = made.sequences * (made.length if on_cpu else made.answers.tokens)
    rows = min(scored, _TOKENS)
    tile, numbers = computed * rows * _WIDTH, rows * min(made.vocabulary, _WIDTH)
    forward, backward = (each * numbers if on_cpu else 0 for each in (_FORWARD, _BACKWARD))
    outputs = [weight for weight in made.weights if weight.kind == "head"]
    outputs = outputs or [weight for weight in made.weights if weight.kind == "embedding"]
    trained = 4 * sum(weight.count for weight in outputs if weight.trained)
    hidden = 4 * scored * made.hidden_size
    behind_it = backward + trained + hidden
    return made.plus("logits", Memory(tile + max(forward, behind_it), phases=("forward",), of="activations"))


def _changes(options: GroupOptions, together: int) -> list[Change]:
    found = []
    if options.max_completion_length > 32:
        fewer = options.max_completion_length // 2
        found.append(Change((f"stage.max_completion_length={fewer}",), "method", f"answers end at {fewer} tokens"))
    if options.max_prompt_length > 64:
        fewer = options.max_prompt_length // 2
        costs = "rows with longer prompts are left out"
        found.append(Change((f"stage.max_prompt_length={fewer}",), "method", costs))
    half = options.num_generations // 2
    if half > 1 and together == options.num_generations and together % 2 == 0:
        sizes = ("trainer.per_device_train_batch_size", half), ("stage.num_generations", half)
        costs = f"{half} answers to a prompt are compared"
        found.append(Change(tuple(f"{key}={size}" for key, size in sizes), "method", costs))
    return found
