"""Another model judges the answers: two beside each other in both orders, or one by a rubric.

Zheng et al. 2023, "Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena" (arXiv 2306.05685).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from tunesmith import hookimpl, plugin
from tunesmith.ranges import above, at_least, between, filled, path_like
from tunesmith.traits import EvaluatorTraits
from tunesmith.types import ModelHandle, Problem
from tunesmith_library_evaluating import Evaluation, EvaluationData
from tunesmith_library_evaluating.asking import Asking

if TYPE_CHECKING:
    from tunesmith.planning import Plan
    from tunesmith_library_engine.chatting import Chat
    from tunesmith_library_estimates.estimation import Estimate

    from tunesmith_evaluator_judge.budget import Budget
    from tunesmith_evaluator_judge.cases import Case
    from tunesmith_evaluator_judge.judges import JudgeModel


@plugin
class Judge(Asking):
    """A model that any configuration names, here or behind a URL, says which of two answers is better, or gives scores.

    Requests, tokens and cost have caps; what the judge has said is kept, and not asked again.
    """

    # configuration of the judge: {model: {path: org/name}}, or {engine: {name: openai, base_url: URL, model: NAME}}
    judge: dict[str, Any]
    # pairwise: the model's answer beside another; rubric: the model's answer alone, by scores; votes: the rows' chosen
    # answers beside the rejected ones, which tells how far the judge agrees with people, and asks no model
    mode: Literal["pairwise", "rubric", "votes"] = "pairwise"
    # answers to compare with: a predictions.jsonl or samples.jsonl, or a run's folder; null is the expected answers
    against: Annotated[str | None, path_like] = None
    # the model's own answers, given before, from such a file; null has the model answer
    answers: Annotated[str | None, path_like] = None
    criteria: Annotated[list[str], filled] = []  # what is judged, such as correctness; of a rubric each has a score
    least: Annotated[float, between(-1_000_000, 1_000_000)] = 1  # worst score of a rubric
    most: Annotated[float, between(-1_000_000, 1_000_000)] = 10  # best score of a rubric
    reference: bool = True  # show the judge the expected answer too, where it is none of those that are judged
    language: Literal["auto", "en", "zh"] = "auto"  # of the judge's prompt; auto is that of the question
    # text file with a prompt of one's own: {question}, {answer_a}, {answer_b}; of a rubric {question}, {answer}
    prompt_file: Annotated[str | None, path_like] = None
    # column of the rows, or key in the file of `answers`, with a human's vote or score
    vote: Annotated[str, filled] = "vote"
    judge_max_new_tokens: Annotated[int, at_least(1, most=1_000_000)] = 1024  # tokens of a reply with its thought
    judge_temperature: Annotated[float, at_least(0, most=100)] = 0.0  # of the judge; 0 is greedy
    # requests to the judge in one evaluation; null is no cap
    max_requests: Annotated[int, at_least(1, most=1_000_000_000)] | None = None
    # tokens of prompts and replies in one evaluation; null is no cap
    max_tokens: Annotated[int, at_least(1, most=10**15)] | None = None
    # what one evaluation may cost, in the currency of the prices; null is no cap
    max_cost: Annotated[float, above(0, most=1_000_000_000)] | None = None
    input_price: Annotated[float, at_least(0, most=1_000_000)] = 0.0  # of a million tokens of the judge's prompts
    output_price: Annotated[float, at_least(0, most=1_000_000)] = 0.0  # of a million tokens of the judge's replies
    cache: bool = True  # keep what the judge said, so that the same is not asked again
    # folder of what is kept; null is ~/.cache/tunesmith/judge
    cache_dir: Annotated[str | None, path_like] = None

    # data are sent to the judge, and a prompt's file and answers with them
    guarded: ClassVar[tuple[str, ...]] = ("judge", "prompt_file", "against", "answers", "cache_dir")

    @property
    def traits(self) -> EvaluatorTraits:
        from tunesmith_evaluator_judge.numbers import directions

        found = directions(self.mode, self._names)
        return EvaluatorTraits(metrics={f"judge_{name}": greater for name, greater in found.items()})

    @property
    def tokens_of_answer(self) -> int:
        asks = self.mode != "votes" and self.answers is None
        return super().tokens_of_answer if asks else 0

    @property
    def _names(self) -> list[str]:
        """The keys of the scores that a rubric asks for."""
        return [re.sub(r"\W+", "_", name).strip("_").lower() for name in self.criteria] or ["score"]

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        from tunesmith_evaluator_judge.checking import problems_of

        return problems_of(self)

    @hookimpl
    def estimate(self, estimate: Estimate, plan: Plan) -> Estimate:
        """The judge is loaded anew, beside the model, where it is no server."""
        from tunesmith_library_estimates.estimation import Memory
        from tunesmith_library_estimates.models import weights_at

        path = (self.judge.get("model") or {}).get("path")
        if self.mode == "votes" or not path or (self.judge.get("engine") or {}).get("name") == "openai":
            return estimate
        weights = weights_at(str(path), None, plan)
        if weights is None:
            return estimate.without(f"the judge {path}: no config.json that is known is at hand")
        made = estimate.plus(
            "judge", Memory(sum(weight.bytes for weight in weights), phases=("generate",), of="weights")
        )
        return made.without("keys and values of the judge's replies")

    @hookimpl
    def evaluate(self, handle: ModelHandle, chat: Chat, data: EvaluationData) -> Evaluation:
        """Raises: DataError when there is nothing to judge."""
        from tunesmith_evaluator_judge.cases import cases_of
        from tunesmith_evaluator_judge.numbers import directions, measured

        cases = cases_of(self, chat, data.rows())
        with self._judge() as judge:
            records = self._records(cases, judge)
            judge.report()
        metrics = {
            name: measured([it for it in records if it["dataset"] == name], directions(self.mode, self._names))
            for name in dict.fromkeys(case.prompt.dataset for case in cases)
        }
        return Evaluation(metrics, records, self._settings(chat))

    def _judge(self) -> JudgeModel:
        from pathlib import Path

        from tunesmith_library_caching.places import kept_in

        from tunesmith_evaluator_judge.cache import Cache
        from tunesmith_evaluator_judge.judges import JudgeModel

        asking = Asking(max_new_tokens=self.judge_max_new_tokens, temperature=self.judge_temperature, seed=self.seed)
        folder = Path(self.cache_dir).expanduser() if self.cache_dir else kept_in("judge")
        cache = Cache(folder if self.cache else None, self.judge, vars(asking))
        return JudgeModel(self.judge, asking, cache, self._budget())

    def _budget(self) -> Budget:
        from tunesmith_evaluator_judge.budget import Budget

        caps = (self.max_requests, self.max_tokens, self.max_cost)
        return Budget(*caps, input_price=self.input_price, output_price=self.output_price)

    def _records(self, cases: Sequence[Case], judge: JudgeModel) -> list[dict[str, Any]]:
        from tunesmith_evaluator_judge.numbers import paired, rated

        groups = [self._prompts(case) for case in cases]
        replies = judge.replies(groups)
        if self.mode == "rubric":
            return [
                rated(case, reply, self._names, self.least, self.most)
                for case, reply in zip(cases, replies, strict=True)
            ]
        return [paired(case, reply) for case, reply in zip(cases, replies, strict=True)]

    def _prompts(self, case: Case) -> list[str]:
        """What the judge is asked of a case; nothing where an answer never came, or both are the same."""
        from tunesmith_evaluator_judge.asked import language_of, pair_prompt, rubric_prompt, spoken

        if case.answer.is_silent or case.settled:
            return []
        language = language_of(case.prompt.messages) if self.language == "auto" else self.language
        question, expected = spoken(case.prompt.messages, language), case.prompt.answer
        shown = self.reference and expected not in (case.answer.text, case.other, None)
        same: dict[str, Any] = {"reference": expected if shown else None, "criteria": self.criteria, "own": self._own()}
        if case.other is not None:
            texts = (case.answer.text, case.other)
            return [pair_prompt(question, *order, language, **same) for order in (texts, texts[::-1])]
        scale: dict[str, Any] = {"names": self._names, "least": self.least, "most": self.most}
        return [rubric_prompt(question, case.answer.text, language, **scale, **same)]

    def _own(self) -> str | None:
        from pathlib import Path

        return Path(self.prompt_file).expanduser().read_text(encoding="utf-8") if self.prompt_file else None

    def _settings(self, chat: Chat) -> dict[str, Any]:
        """What moves the numbers; the judge's configuration without secrets."""
        from tunesmith_library_configuration.secrets import without_secrets

        asked = self.mode != "votes" and self.answers is None
        judged = ("mode", "against", "answers", "criteria", "least", "most", "reference", "language", "prompt_file")
        caps = ("judge_max_new_tokens", "judge_temperature", "max_requests", "max_tokens", "max_cost")
        own = {name: getattr(self, name) for name in (*judged, *caps)}
        return {**(self.settings(chat) if asked else {}), **own, "judge": without_secrets(self.judge)}
