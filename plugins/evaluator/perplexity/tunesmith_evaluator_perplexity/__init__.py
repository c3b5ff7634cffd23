"""Perplexity: exp of the mean loss of the next token, over the tokens that the stage would train on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from tunesmith import DataError, hookimpl, plugin
from tunesmith.ranges import at_least
from tunesmith.traits import EvaluatorTraits
from tunesmith.types import ModelHandle, Problem
from tunesmith_library_evaluating import Evaluation, EvaluationData

if TYPE_CHECKING:
    from tunesmith.planning import Plan
    from tunesmith_library_engine.chatting import Chat
    from tunesmith_library_estimates.estimation import Estimate


@plugin
class Perplexity:
    """Perplexity and mean loss of each evaluation set, every token counted alike, with standard errors by example."""

    # tokens computed at a time; a longer example is computed alone
    batch_tokens: Annotated[int, at_least(1, most=100_000_000)] = 8192
    # what computes the log-probabilities: the model in this process, or the engine as it would answer
    through: Literal["model", "engine"] = "model"

    traits: ClassVar[EvaluatorTraits] = EvaluatorTraits(metrics={"perplexity": False, "perplexity_loss": False})

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        stage = plan.traits("stage")
        if stage is None or not (stage.generates or {"chosen", "label"} & set(stage.reads)):
            return []
        message = f"perplexity is of tokens with labels, and stage={plan.name('stage')} makes other examples."
        return [
            Problem("evaluator.perplexity", message, "measure with stage=sft or stage=pretrain, or another evaluator")
        ]

    @property
    def tokens_of_answer(self) -> int:
        """None are written."""
        return 0

    @hookimpl
    def estimate(self, estimate: Estimate, plan: Plan) -> Estimate:
        from tunesmith_library_evaluating.estimating import with_reading, with_scoring

        if self.through == "engine":
            return with_scoring(estimate)
        return with_reading(estimate, self.batch_tokens)

    @hookimpl
    def evaluate(self, handle: ModelHandle, chat: Chat, data: EvaluationData) -> Evaluation:
        """Raises: DataError when there is no evaluation data, or its examples have no labels."""
        from .losses import losses_by_engine, losses_by_model
        from .scores import items_of, measured, sequences_of
        from .texts import texts_of

        examples = data.examples()
        sequences = {name: sequences_of(name, some) for name, some in examples.items()}
        if not any(sequences.values()):
            raise DataError("perplexity: no evaluation set has a token to predict.\n  write data.eval=[test.json]")
        metrics, records = {}, []
        for name, found in sequences.items():
            if not found:
                continue
            every, items = list(found.values()), items_of(examples[name])
            shown = [items[place] for place in found]
            if self.through == "engine":
                losses = losses_by_engine(chat.engine, every, shown)
            else:
                losses = losses_by_model(handle.load(), every, shown, handle.processor, self.batch_tokens)
            metrics[name] = measured(losses)
            told = texts_of(every, handle.processor)
            records += [
                {"dataset": name, "index": index, "loss": loss.total / loss.tokens, "weight": loss.tokens, **text}
                for index, loss, text in zip(found, losses, told, strict=True)
            ]
        return Evaluation(metrics, records, {"through": self.through})
