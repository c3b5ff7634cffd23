"""A reward model's judgement: a sequence classifier that was trained on preferences (arXiv 2203.02155, section 3.5)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from tunesmith import hookimpl, plugin
from tunesmith.addresses import is_path
from tunesmith.ranges import above, at_least, between, filled, path_like
from tunesmith.types import LoadModel, Message, Problem, TrainingJob

if TYPE_CHECKING:
    from tunesmith.planning import Plan
    from tunesmith_library_chat import ChatTemplate
    from tunesmith_library_estimates.estimation import Estimate
    from tunesmith_library_judging.judge import Judge


@plugin
class RewardModel:
    """The output of a model for sequence classification, for the conversation with its answer."""

    weight: Annotated[float, between(-1_000_000, 1_000_000)] = 1.0  # multiplies the score
    # folder of a run of stage=reward or of another reward model, or a name on the Hugging Face hub
    path: Annotated[str, path_like]
    output: Annotated[int, at_least(0, most=65_536)] = 0  # which of the model's outputs is the score
    batch_size: Annotated[int, at_least(1, most=1_000_000)] = 8  # conversations computed together
    # tokens of a conversation; longer ones lose their beginning
    max_length: Annotated[int, at_least(1, most=100_000_000)] = 4096
    # largest size of a score, before the weight; null does not clip
    clip: Annotated[float, above(0, most=1_000_000)] | None = None
    # numbers of its weights; auto: as they are saved, and with an adapter as its run computes
    precision: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
    device: Annotated[str, filled] = "auto"  # where it computes: cpu, cuda:1, …; auto: beside the model that is trained

    _judge: Any = None  # the loaded model

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        folder = Path(os.path.expanduser(self.path))
        if not is_path(self.path) or any((folder / name).is_file() for name in ("config.json", "adapter_config.json")):
            return []
        message = f"reward.model.path={self.path} holds no model: neither config.json nor adapter_config.json."
        return [Problem("reward.model.path", message, "the folder of a run of stage=reward, or org/name")]

    @hookimpl
    def estimate(self, estimate: Estimate, plan: Plan) -> Estimate:
        from .estimating import estimate_judge

        return estimate_judge(self, estimate, plan)

    @hookimpl
    def prepare(self, job: TrainingJob, load: LoadModel) -> None:
        self._load(job)

    @hookimpl
    def score(self, prompts: Sequence[Sequence[Message]], completions: Sequence[str]) -> list[float]:
        if not completions:
            return []
        judge: Judge = self._judge or self._load(None)
        scores = judge.scores(prompts, completions)
        if self.clip is not None:
            return [min(max(value, -self.clip), self.clip) for value in scores]
        return scores

    def _load(self, job: TrainingJob | None) -> Judge:
        from tunesmith_library_judging.loading import load_judge

        beside = job.model.device if job is not None and job.model.device.type != "cpu" else None
        made = load_judge(
            self.path,
            named="reward.model.path",
            output=self.output,
            batch_size=self.batch_size,
            max_length=self.max_length,
            precision=self.precision,
            device=beside if self.device == "auto" else self.device,
            template=cast("ChatTemplate | None", job.template) if job is not None else None,
        )
        self._judge = made
        return made
