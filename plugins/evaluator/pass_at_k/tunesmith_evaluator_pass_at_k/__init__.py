"""Several answers to each question, judged by rewards: how many are right, and whether one of k is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from tunesmith import hookimpl, plugin
from tunesmith.messages import logger
from tunesmith.ranges import at_least, between, filled
from tunesmith.traits import EvaluatorTraits
from tunesmith.types import Problem, Requirement
from tunesmith_library_evaluating import Evaluation, EvaluationData
from tunesmith_library_evaluating.asking import Asking

if TYPE_CHECKING:
    from tunesmith.planning import Plan
    from tunesmith_library_engine.chatting import Chat

_KEY = "evaluator.pass_at_k"


@plugin
class PassAtK(Asking):
    """avg@n, pass@k and maj@n of answers that rewards judge, with standard errors over the questions.

    The rewards' options stand where those of a training do: `reward.numeric.column=solution`.
    """

    rewards: list[Annotated[str, filled]]  # that judge an answer, by name: numeric, exact_match, code
    n: Annotated[int, at_least(1, most=100_000)] = 8  # answers to each question
    k: list[Annotated[int, at_least(1, most=100_000)]] = [1]  # of pass@k, each at most n
    # score, the sum of the rewards times their weights, from which an answer is right
    threshold: Annotated[float, between(-1_000_000, 1_000_000)] = 1.0
    # regular expression whose first group, at its last match, is what answers agree on, for maj@n; null is no vote
    vote: Annotated[str, filled] | None = None
    temperature: Annotated[float, at_least(0, most=100)] = 1.0  # 0 gives the same answer n times

    _rewards: dict[str, Any] = {}  # the plugins, by name

    @property
    def traits(self) -> EvaluatorTraits:
        known = [f"avg_at_{self.n}", "score", *(f"pass_at_{k}" for k in self.k), *self._votes()]
        metrics = {**dict.fromkeys(known, True), "unfinished": False, "truncated": False}
        return EvaluatorTraits(metrics={f"pass_at_k_{name}": greater for name, greater in metrics.items()})

    @hookimpl
    def requires(self) -> list[Requirement]:
        return [Requirement("reward", name, f"{_KEY}.rewards[{place}]") for place, name in enumerate(self.rewards)]

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        import re

        problems = []
        if not self.rewards:
            told = f"installed: {', '.join(sorted(plan.installed('reward')))}"
            problems.append(Problem(f"{_KEY}.rewards", "nothing judges the answers.", told))
        if too_many := [k for k in self.k if k > self.n]:
            message = f"pass@{max(too_many)} needs as many answers to a question, and n is {self.n}."
            problems.append(Problem(f"{_KEY}.k", message, f"{_KEY}.n={max(too_many)}"))
        if self.temperature == 0 and self.n > 1:
            message = f"the {self.n} answers to a question are the same at temperature 0."
            problems.append(Problem(f"{_KEY}.temperature", message, "n=1, or temperature=0.6", severity="warning"))
        example = r"for example: \\boxed\{(.*?)\}"
        if (self.vote or "").lower() in ("true", "false"):
            message = f"vote={self.vote} is a regular expression that finds what answers agree on, and no switch."
            problems.append(Problem(f"{_KEY}.vote", message, example))
        try:
            re.compile(self.vote or "")
        except re.error as error:
            problems.append(Problem(f"{_KEY}.vote", f"vote={self.vote} is no regular expression: {error}.", example))
        return problems

    @hookimpl
    def configured(self, plan: Plan) -> None:
        self._rewards = {name: plan.plugin("reward", name) for name in self.rewards}

    @hookimpl
    def evaluate(self, chat: Chat, data: EvaluationData) -> Evaluation:
        """Raises: DataError when there is nothing to measure, or a row lacks what a reward reads."""
        from tunesmith_library_evaluating.answering import answered
        from tunesmith_library_evaluating.replies import asked_of
        from tunesmith_library_evaluating.statistics import mean

        from .judging import Judge
        from .questions import CUT, Question, agreed_on

        judge = Judge(self._rewards, self.threshold)
        sets = asked_of(data, self, "pass_at_k", lambda prompt: None)
        for asked in sets.values():
            judge.try_out(asked[0].prompt)  # a column that is lacking is told before the first answer
        metrics: dict[str, Any] = {}
        records: list[dict[str, Any]] = []
        for name, asked in sets.items():
            prompts = [it.prompt for it in asked for _ in range(self.n)]
            answers = answered(chat, prompts, self.sampling(), asking=self)
            scores = judge.scores(prompts, answers)
            parts = [slice(at, at + self.n) for at in range(0, len(prompts), self.n)]
            questions = [
                Question(it, answers[part], scores[part], self.threshold) for it, part in zip(asked, parts, strict=True)
            ]
            if self.vote and not any(agreed_on(answer.text, self.vote) for answer in answers):
                told = f"{self._votes()[0]} is 0 since none of {len(answers):,} answers has vote={self.vote}"
                logger.warning("data set %s: %s", name, told)
            numbers = [question.numbers(self.k, self.vote) for question in questions]
            # of as many answers each, so that the error of their means is that over questions as clusters
            metrics[name] = {
                each: mean([own[each] for own in numbers], greater_is_better=each not in CUT) for each in numbers[0]
            }
            records += [question.record(own) for question, own in zip(questions, numbers, strict=True)]
        judged = {"rewards": self.rewards, "threshold": self.threshold, "n": self.n, "k": self.k, "vote": self.vote}
        return Evaluation(metrics, records, {**self.settings(chat), **judged})

    def _votes(self) -> list[str]:
        return [f"maj_at_{self.n}"] if self.vote else []
