"""The loop around the steps: which of them are told, evaluated and kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith import TunesmithError, announce
from tunesmith.messages import logger
from tunesmith.types import Evaluated, RunStarted, Sampling, StepEnded, TrainingJob
from tunesmith_library_training import processes, sharding
from tunesmith_library_training.drawing import Drawing
from tunesmith_library_training.envelope import Outcome, Run, refuse_no_data, train_to_end
from tunesmith_library_training.metrics import warn_of_non_finite
from tunesmith_library_weights.switching import without_dropout

from tunesmith_stage_ppo import state
from tunesmith_stage_ppo.learner import Learner, Metrics

if TYPE_CHECKING:
    from tunesmith_stage_ppo import Ppo


def fit(options: Ppo, job: TrainingJob, reference: Any) -> bool:
    """Train and save; gives whether training reached its end.

    Args:
        reference: a `Reference` of the KL penalty, or None without penalty.
    """

    # the objective is that of all tokens at their temperature, whatever the engine's options narrow
    sampling = Sampling(
        max_new_tokens=options.max_new_tokens,
        temperature=options.temperature,
        top_p=1.0,
        top_k=0,
        min_p=0.0,
        repetition_penalty=1.0,
    )

    def train(run: Run) -> Outcome:
        with Drawing(run.job, sampling) as drawing:
            return _train(options, run, reference, drawing)

    return train_to_end(job, train)


def _train(options: Ppo, run: Run, reference: Any, drawing: Drawing) -> Outcome:
    """Train until the end or an interruption."""
    job = run.job
    refuse_no_data(job, "prompt")
    if job.precision == "fp16":
        raise TunesmithError("stage.ppo does not train in fp16.\n  precision=bf16 or precision=fp32")
    if job.evaluate is not None and not (job.data.eval and options.eval_steps):
        announce("evaluators", "not asked during training", "there is no evaluation data, or stage.eval_steps is 0")
    processes.join(options.use_cpu)
    processes.tell(options.batch_size, "answers", sharding.spread_by(job.model))
    learner = Learner(options, run, reference, drawing)
    facts = {"num_examples": len(job.data.train), "seed": job.seed, "batch_size": options.batch_size}
    start = _resume(learner, run, facts)
    run.emit(RunStarted(job.output_dir, options.total_steps, {}, resumed_from=start))
    metrics: Metrics = {}
    evaluation: Metrics = {}
    with without_dropout(job.model):
        for step in range(start + 1, options.total_steps + 1):
            metrics = learner.step(step)
            run.guard.check(learner.policy.model, learner.policy.head)  # answers cannot be drawn with NaN
            last = step == options.total_steps
            stop = processes.any_of(run.interruption.requested) and not last
            logged = stop or last or step == 1 or step % options.logging_steps == 0
            if logged:
                run.gradients.look(learner.policy.model)
                metrics |= run.gradients.told()
            epoch = step * options.batch_size / len(job.data.train)
            run.emit(StepEnded(step, options.total_steps, epoch, metrics if logged else {}))
            if not stop and options.eval_steps and (last or step % options.eval_steps == 0):
                evaluation = learner.evaluate(step)
                if evaluation:
                    warn_of_non_finite(evaluation, step)
                    run.emit(Evaluated(step, evaluation))
            if stop or (options.save_steps and step % options.save_steps == 0):
                _checkpoint(learner, run, step, facts)
            if stop:
                return Outcome(step, False, {**metrics, **evaluation})
    told = {**metrics, **evaluation}
    policy = learner.policy
    weights = None if sharding.spread_of(job.model) is None else sharding.gathered_weights(job.model)
    return Outcome(
        options.total_steps, True, told, weights=weights, beside=lambda folder: state.save_value_head(folder, policy)
    )


def _resume(learner: Learner, run: Run, facts: dict[str, Any]) -> int:
    """Continue from the newest checkpoint; gives its step, 0 when there is none."""
    checkpoint = run.newest_checkpoint(facts)
    if checkpoint is None:
        return 0
    progress = state.load(checkpoint, learner.policy, learner.optimizers)
    learner.kl_coef = progress.kl_coef
    if progress.scored is not None:
        learner.scored.restore(progress.scored)
    elif learner.options.normalize_scores:
        logger.warning("%s does not hold the moments of the scores, which begin anew", checkpoint.name)
    return progress.step


def _checkpoint(learner: Learner, run: Run, step: int, facts: dict[str, Any]) -> None:
    """Write a checkpoint, which holds for all processes."""
    progress = state.Progress(step, learner.kl_coef, learner.scored.kept())
    contents = state.Contents.of(learner.policy, learner.optimizers)

    def write(folder: Path) -> None:
        state.save(folder, contents, learner.policy, progress)

    run.keep_checkpoint(step, facts, learner.options.save_total_limit, write=write)
