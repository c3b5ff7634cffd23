"""What PPO takes: its loop is its own, so that the trainer's options say nothing of its batches. Without torch.

Of a mini-batch the logits of all tokens exist at once, and of those of answers their log-probabilities in float32. The
gradients of a mini-batch stay until those of the next one are computed: also while answers are written.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tunesmith.planning import Plan
from tunesmith_library_estimates.activations import activations, layer_of
from tunesmith_library_estimates.cache import Answers
from tunesmith_library_estimates.changes import Change
from tunesmith_library_estimates.estimation import Estimate, Memory
from tunesmith_library_estimates.training import gradients, optimizer_states, passes
from tunesmith_library_estimates.working import Work
from tunesmith_library_training.reference_costs import ReferenceCosts, forward_flops

if TYPE_CHECKING:
    from tunesmith_stage_ppo import Ppo

# Bytes for each logit of an answer's tokens: when the loss is there (the log-probabilities, their exponentials and the
# product of both, in float32), and at the beginning of the backward pass (the first two, and three gradients).
_FORWARD, _BACKWARD = 12, 20


def estimate_ppo(options: Ppo, estimate: Estimate, plan: Plan) -> Estimate:
    """Put this loop's batches in the place of the trainer's."""
    count = plan.processes or estimate.processes
    answers = Answers(
        sequences=max(options.mini_batch_size // count, 1),
        prompt=options.max_prompt_length,
        tokens=options.max_new_tokens,
        in_step=max(options.batch_size // count, 1),
    )
    made = replace(
        _without_trainer(estimate),
        sequences=answers.sequences,
        length=answers.length,
        padded=True,
        answers=answers,
        steps=options.total_steps,
        accumulated=options.ppo_epochs * -(-options.batch_size // options.mini_batch_size),
        passes=passes(estimate, recomputes=False),
    )
    made = _states(options, activations(made, recomputes=False), plan)
    made = _of_logits(made)
    scored = answers.in_step * answers.length * forward_flops(made, answers.length)
    made = made.doing("log-probabilities of answers", Work(flops=scored, per="step"))
    if options.init_kl_coef:
        once_a_step = ReferenceCosts(options.reference, options.reference_adapter, passes=1 / options.ppo_epochs)
        made = once_a_step.add(made, plan)
    return made.offering(*_changes(options, count))


def _without_trainer(estimate: Estimate) -> Estimate:
    """The estimate without what the trainer's loop takes, whose options do not count here."""
    again = activations(replace(estimate, memory={}), recomputes=True).memory
    kept = {what: memory for what, memory in estimate.memory.items() if what not in again}
    unknown = tuple(what for what in estimate.unknown if "trainer.optim" not in what)
    return replace(estimate, memory=kept, recomputed={}, merged=0, unknown=unknown)


def _states(options: Ppo, made: Estimate, plan: Plan) -> Estimate:
    made = gradients(made, accumulates=True)
    kept = replace(made.memory["gradients"], phases=("forward", "backward", "step", "generate", "save"))
    made = made.plus("gradients", kept)
    return made if plan.uses("optimizer") else optimizer_states(made, 2)


def _of_logits(made: Estimate) -> Estimate:
    computed = 4 if made.precision == "fp32" else 2
    answers = made.answers.sequences * made.answers.tokens * made.vocabulary
    every = computed * made.sequences * made.length * made.vocabulary
    layers = len({layer_of(weight) for weight in made.weights})
    widest = max((weight.bits for weight in made.weights if weight.kind == "embedding"), default=16)
    if widest < 32:  # a layer's norm keeps its input in float32, and the loss holds what it read beside it
        hidden = layers * made.hidden_size * widest / 8
        made = made.plus("hidden states", Memory(bytes_per_token=hidden, phases=("forward",), of="activations"))
    at_loss = every + _FORWARD * answers
    # the gradients of the mini-batch before are gone then; the latter where it comes to the tokens of prompts, too
    behind_it = max(_BACKWARD * answers, 2 * every) - made.memory["gradients"].bytes
    return made.plus("logits", Memory(max(at_loss, behind_it), phases=("forward",), of="activations"))


def _changes(options: Ppo, count: int) -> list[Change]:
    found = []
    for size in (options.mini_batch_size // 2, options.mini_batch_size // 4):
        if size >= count and size % count == 0:
            costs = f"more optimizer steps, of {size} answers each"
            found.append(Change((f"stage.mini_batch_size={size}",), "method", costs))
    if options.max_new_tokens > 32:
        fewer = options.max_new_tokens // 2
        found.append(Change((f"stage.max_new_tokens={fewer}",), "method", f"answers end at {fewer} tokens"))
    if options.max_prompt_length > 64:
        fewer = options.max_prompt_length // 2
        costs = "rows with longer prompts are left out"
        found.append(Change((f"stage.max_prompt_length={fewer}",), "method", costs))
    return found
