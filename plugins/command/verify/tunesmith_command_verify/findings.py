"""What a server's answers say of what it serves: numbers, and the verdict. Pure functions."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

_SAME_CHOICE = 0.9  # of the tokens have to be the trained model's first choices
_WIDTH = 80


@dataclass(frozen=True)
class Asked:
    """One conversation, as the server answered it."""

    question: str  # the last words of the prompt
    prompt_tokens: tuple[int | None, int]  # by the server, in training
    behind: tuple[
        float, ...
    ]  # for each token of the answer, by how many nats the trained model's first choice is ahead
    apart: tuple[float, ...]  # for each token, the server's log-probability less the trained model's
    answer: str
    fault: str | None = None  # how the answer ended otherwise than the trained model's would


@dataclass(frozen=True)
class Findings:
    """A served model beside the trained one."""

    server: str
    model: str
    origin: str  # whose conversations they are
    tolerance: float  # nats
    asked: tuple[Asked, ...]
    passed_over: int  # conversations that could not be asked
    echoed: tuple[float, ...] = ()  # differences of the log-probabilities of the conversations' own tokens
    notes: tuple[str, ...] = field(default=())

    @property
    def same_choice(self) -> float | None:
        """The share of the served tokens that are the trained model's first choice, or as likely within tolerance."""
        behind = [value for each in self.asked for value in each.behind]
        return sum(value <= self.tolerance for value in behind) / len(behind) if behind else None

    def problems(self) -> list[str]:
        """What differs, in words; [] when what is served is what was trained."""
        found = []
        other = [each for each in self.asked if each.prompt_tokens[0] not in (None, each.prompt_tokens[1])]
        if other:
            theirs, ours = other[0].prompt_tokens
            found.append(
                f"the template or the tokenizer: {len(other)} of {len(self.asked)} prompts have another number of"
                f" tokens, such as {theirs} on the server and {ours} in training for {other[0].question!r}"
            )
        if self.same_choice is not None and self.same_choice < _SAME_CHOICE:
            worst = max(self.asked, key=lambda each: max(each.behind, default=-math.inf))
            found.append(
                f"the answers: {self.same_choice:.1%} of the tokens are the trained model's first choice, such as not"
                f" all of {worst.answer[:40]!r} to {worst.question!r}"
            )
        if wrong := [part for part in self._log_probabilities() if not part[1] <= self.tolerance]:
            told = " and ".join(f"of the {what} differ by {mean:.2g} nats" for what, mean in wrong)
            cause = self._cause(bool(other))
            found.append(f"{cause}: log-probabilities {told} on the mean, allowed is {self.tolerance:g}")
        faults = [each for each in self.asked if each.fault]
        if faults:
            found.append(f"the end of {len(faults)} answers: {faults[0].fault}, to {faults[0].question!r}")
        return found

    def _cause(self, other_prompts: bool) -> str:
        """Why log-probabilities differ; those of the conversations' own tokens depend on no template."""
        if self.echoed:
            return "the weights" if _mean(self.echoed) > self.tolerance else "the prompts, not the weights"
        return "the prompts, or the weights" if other_prompts else "the weights, or a template with as many tokens"

    def _log_probabilities(self) -> list[tuple[str, float]]:
        """Of which tokens log-probabilities were compared, and how far they are apart on the mean."""
        both = (("answers", self._apart), ("conversations", self.echoed))
        return [(what, _mean(apart)) for what, apart in both if apart]

    @property
    def _apart(self) -> tuple[float, ...]:
        return tuple(value for each in self.asked for value in each.apart)

    def described(self) -> str:
        """For a reader, in 80 columns."""
        problems = self.problems()
        lines = [f"served: {self.model} at {self.server}", *self._counted(), *self.notes]
        lines += ["what is served differs from what was trained:", *(f"  {problem}" for problem in problems)]
        lines = lines if problems else [*lines[:-1], "what is served is what was trained"]
        return "\n".join(line for text in lines for line in textwrap.wrap(text, _WIDTH, subsequent_indent="    "))

    def _counted(self) -> Iterator[str]:
        """What was compared, with the share that was not."""
        total = len(self.asked)
        told = [each for each in self.asked if each.prompt_tokens[0] is not None]
        same = sum(each.prompt_tokens[0] == each.prompt_tokens[1] for each in told)
        over = f"; {self.passed_over} more could not be asked" if self.passed_over else ""
        yield f"conversations: {total}, {self.origin}{over}"
        unsaid = f"; of {total - len(told)} the server does not say it" if len(told) < total else ""
        yield f"prompt tokens: {same} of {len(told)} as in training{unsaid}"
        if self.same_choice is not None:
            count = sum(len(each.behind) for each in self.asked)
            yield f"first choices: {self.same_choice:.1%} of {count} tokens"
        for what, apart in (("answers", self._apart), ("conversations", self.echoed)):
            if apart:
                largest = max(map(abs, apart))
                mean = f"{_mean(apart):.2g} nats apart on the mean, {largest:.2g} at most"
                yield f"log-probabilities of {len(apart)} tokens of {what}: {mean}"

    def as_json(self) -> dict[str, Any]:
        apart = {"answers": self._apart, "conversations": self.echoed}
        return {
            "server": self.server,
            "model": self.model,
            "same": not self.problems(),
            "problems": self.problems(),
            "notes": list(self.notes),
            "origin": self.origin,
            "conversations": [{"question": a.question, "answer": a.answer, **_tokens(a)} for a in self.asked],
            "passed_over": self.passed_over,
            "same_choice": self.same_choice,
            "log_probabilities": {
                what: {"tokens": len(found), "mean": _mean(found), "largest": max(map(abs, found))}
                for what, found in apart.items()
                if found
            },
        }


def _tokens(asked: Asked) -> dict[str, Any]:
    served, trained = asked.prompt_tokens
    return {"prompt_tokens": {"served": served, "trained": trained}, "fault": asked.fault}


def _mean(values: Sequence[float]) -> float:
    """Of the absolute values."""
    return sum(map(abs, values)) / len(values)
