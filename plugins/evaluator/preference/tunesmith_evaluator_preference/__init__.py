"""Preference pairs: does a model prefer what people preferred? By likelihoods, implicit rewards, or a reward model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from tunesmith import announce, hookimpl, plugin
from tunesmith.ranges import above, at_least, path_like
from tunesmith.traits import EvaluatorTraits
from tunesmith.types import ModelHandle, Problem, Requirement
from tunesmith_library_evaluating import Evaluation, EvaluationData

if TYPE_CHECKING:
    from tunesmith.planning import Plan
    from tunesmith_library_engine.chatting import Chat
    from tunesmith_library_estimates.estimation import Estimate

    from tunesmith_evaluator_preference.pairs import Pair, Value

_KEY = "evaluator.preference"
_METRICS = {
    "accuracy": True,
    "margin": True,
    "accuracy_per_token": True,
    "margin_per_token": True,
    "reward_accuracy": True,
    "reward_margin": True,
    "chosen_reward": True,
    "rejected_reward": False,
}


@plugin
class Preference:
    """How often the chosen answer is preferred to the rejected one, and by how much (rows with both).

    A language model is measured by how likely it finds the answers, and beside a reference by what it has learnt to
    prefer (its implicit reward); a model of a stage that gives scores by its scores.
    """

    # model to compare with, a run's or a model's folder, or on a hub; null is the model without its adapter, if any
    reference: Annotated[str | None, path_like] = None
    beta: Annotated[float, above(0, most=1_000_000)] = 0.1  # factor of the implicit reward, as in stage.dpo.beta
    # tokens of a prompt with its answer; pairs with a longer one are left out, and counted; null is no limit
    max_length: Annotated[int, at_least(2, most=100_000_000)] | None = None
    batch_tokens: Annotated[int, at_least(1, most=100_000_000)] = 8192  # tokens computed at a time, padding included
    # what computes the log-probabilities: the model in this process, or the engine, which has no reference beside it
    through: Literal["model", "engine"] = "model"

    traits: ClassVar[EvaluatorTraits] = EvaluatorTraits(
        metrics={f"preference_{name}": greater for name, greater in _METRICS.items()}
    )
    _scores: bool = False  # whether the stage's model gives scores
    _reference: Any = None  # the loaded model of `reference`

    @hookimpl
    def requires(self) -> list[Requirement]:
        from tunesmith_library_weights.folders import fetched

        return [] if self._reference_is_run() else fetched({f"{_KEY}.reference": self.reference})

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        from tunesmith_library_weights.folders import model_problems

        problems = [] if self._reference_is_run() else model_problems(self.reference, f"{_KEY}.reference")
        stage = plan.traits("stage")
        if stage is not None and stage.scores:
            message = f"stage={plan.name('stage')} gives scores, which have neither a reference nor an engine."
            wrong = {"reference": self.reference is not None, "through": self.through == "engine"}
            problems += [Problem(f"{_KEY}.{name}", message, "leave it out") for name, is_set in wrong.items() if is_set]
        elif self.reference is not None and self.through == "engine":
            message = "an engine gives no log-probabilities of a reference."
            problems.append(Problem(f"{_KEY}.through", message, f"{_KEY}.through=model, or leave the reference out"))
        return problems

    @hookimpl
    def configured(self, plan: Plan) -> None:
        stage = plan.traits("stage")
        self._scores = stage is not None and stage.scores

    @property
    def tokens_of_answer(self) -> int:
        """None are written."""
        return 0

    @hookimpl
    def estimate(self, estimate: Estimate, plan: Plan) -> Estimate:
        from tunesmith_library_evaluating.estimating import with_reading, with_scoring

        if self.through == "engine":
            return with_scoring(estimate)

        made = with_reading(estimate, self.batch_tokens)
        if self.reference is None:
            return made
        from tunesmith_library_estimates.estimation import Memory
        from tunesmith_library_estimates.models import weights_at

        weights = weights_at(self.reference, None, plan)
        if weights is None:
            return made.without(f"the reference model {self.reference}: no config.json that is known is at hand")
        return made.plus("reference model", Memory(sum(weight.bytes for weight in weights), of="weights"))

    @hookimpl
    def evaluate(self, handle: ModelHandle, chat: Chat, data: EvaluationData) -> Evaluation:
        """Raises: DataError when no data set has a pair."""
        from tunesmith_evaluator_preference.numbers import measured, records_of
        from tunesmith_evaluator_preference.pairs import encoded

        sets = encoded(data.rows(), handle, self.max_length)
        pairs = [pair for found in sets.values() for pair in found]
        values, reference = self._values(pairs, handle, chat)
        metrics: dict[str, Any] = {}
        records: list[dict[str, Any]] = []
        at = 0
        for name, found in sets.items():
            part = slice(at, at + len(found))
            beside = None if reference is None else reference[part]
            own = records_of(name, found, values[part], beside, self.beta, scores=self._scores)
            metrics[name], at = measured(own), part.stop
            records += own
        by = "score" if self._scores else "log_prob" if reference is None else "log_prob and reference"
        settings = {"by": by, "through": self.through, "reference": self.reference, "beta": self.beta}
        return Evaluation(metrics, records, {**settings, "max_length": self.max_length})

    def _values(
        self, pairs: list[Pair], handle: ModelHandle, chat: Chat
    ) -> tuple[list[tuple[Value, Value]], list[tuple[Value, Value]] | None]:
        """What the model makes of the answers, and what the reference does, if there is one."""
        from tunesmith_library_weights.switching import adapted_model

        from tunesmith_evaluator_preference import values

        if self._scores:
            announce("preference", "by scores", "the stage's model gives them")
            return values.scores(handle.load(), pairs, handle.processor, self.batch_tokens), None
        if self.through == "engine":
            return values.log_probs_by_engine(chat.engine, pairs), None
        model = handle.load()
        found = values.log_probs(model, pairs, handle.processor, self.batch_tokens)
        if self.reference is not None:
            announce("reference", self.reference, f"{_KEY}.reference")
            self._reference = self._reference or values.load_reference(self.reference, handle)
            return found, values.log_probs(self._reference, pairs, handle.processor, self.batch_tokens)
        adapted = adapted_model(model)
        if adapted is None:
            announce("preference", "by likelihood alone", f"the model has no adapter, and {_KEY}.reference is not set")
            return found, None
        announce("reference", "the model without its adapter", f"{_KEY}.reference is not set")
        with adapted.disable_adapter():
            return found, values.log_probs(model, pairs, handle.processor, self.batch_tokens)

    def _reference_is_run(self) -> bool:
        from tunesmith.runs import is_run

        return self.reference is not None and is_run(Path(self.reference).expanduser())
