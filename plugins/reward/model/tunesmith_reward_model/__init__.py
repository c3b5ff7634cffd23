"""A reward model's judgement: a sequence classifier that was trained on preferences (arXiv 2203.02155, section 3.5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tunesmith import hookimpl, plugin
from tunesmith.types import LoadModel, Message, Problem, TrainingJob

if TYPE_CHECKING:
    from tunesmith_reward_model.judging import Judge


@plugin
class RewardModel:
    """The output of a model for sequence classification, for the conversation with its answer."""

    weight: float = 1.0  # multiplies the score
    path: str  # folder of a run of stage=reward or of another reward model, or a name on the Hugging Face hub
    output: int = 0  # which of the model's outputs is the score
    batch_size: int = 8  # conversations computed together
    max_length: int = 4096  # tokens of a conversation; longer ones lose their beginning
    clip: float | None = None  # largest size of a score, before the weight; null does not clip
    # numbers of its weights; auto: as they are saved, and with an adapter as its run computes
    precision: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
    device: str = "auto"  # where it computes: cpu, cuda:1, …; auto: beside the model that is trained

    _judge: ClassVar[Any] = None

    @hookimpl
    def check(self, plan: Any) -> list[Problem]:
        names = ("batch_size", "max_length")
        return [
            Problem(f"reward.model.{name}", "must be 1 or more.", "leave it out for the default")
            for name in names
            if getattr(self, name) < 1
        ]

    @hookimpl
    def prepare(self, job: TrainingJob, load: LoadModel) -> None:
        self._load(job)

    @hookimpl
    def score(self, prompts: Sequence[Sequence[Message]], completions: Sequence[str]) -> list[float]:
        if not completions:
            return []
        judge = self._judge or self._load(None)
        scores = judge.scores(prompts, completions)
        if self.clip is not None:
            scores = [min(max(value, -self.clip), self.clip) for value in scores]
        return [self.weight * value for value in scores]

    def _load(self, job: TrainingJob | None) -> Judge:
        from .judging import Judge

        made = Judge(
            self.path,
            output=self.output,
            batch_size=self.batch_size,
            max_length=self.max_length,
            precision=self.precision,
            device=self.device,
            job=job,
        )
        self._judge = made  # type: ignore[misc]
        return made
