"""What is to be judged: an answer to each prompt, what it is compared with, and what a human said of them."""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith import DataError, announce
from tunesmith.types import Row
from tunesmith_library_evaluating.answering import answered
from tunesmith_library_evaluating.prompts import Prompt, prompts_of_rows
from tunesmith_library_evaluating.writing import SAMPLES, found_in

from tunesmith_evaluator_judge.verdicts import Verdict

if TYPE_CHECKING:
    from tunesmith_library_engine.chatting import Chat

    from tunesmith_evaluator_judge import Judge

_VOTES: dict[str, Verdict] = {
    **dict.fromkeys(("first", "a", "win", "chosen", "model", "1", "1.0"), "first"),
    **dict.fromkeys(("second", "b", "loss", "rejected", "other", "0", "0.0"), "second"),
    **dict.fromkeys(("tie", "c", "0.5"), "tie"),
}


@dataclass(frozen=True)
class Said:
    """An answer that is judged."""

    text: str
    unfinished: bool = False  # the thought never ended, and nothing was said
    truncated: bool = False  # a limit of tokens cut it off
    thought: str = ""
    vote: Any = None  # what a human said of it, where its file tells

    @property
    def is_silent(self) -> bool:
        """Whether nothing was said, which is no answer."""
        return self.unfinished or not self.text.strip()


@dataclass(frozen=True)
class Case:
    """An answer, and what it is compared with, if anything."""

    index: int  # in its data set
    prompt: Prompt
    answer: Said
    other: str | None = None  # empty where it was asked for and never came
    vote: Verdict | float | None = None  # a human's: which is better, or a score
    told: dict[str, Any] = field(default_factory=dict)  # what a record says of the answer

    @property
    def settled(self) -> Verdict | None:
        """What needs no judge: an answer that never came loses, two of them tie, and so do equal ones."""
        if self.other is None:
            return None
        silent = self.answer.is_silent, not self.other.strip()
        if any(silent):
            return "tie" if all(silent) else "second" if silent[0] else "first"
        return "tie" if self.answer.text == self.other else None


def cases_of(judge: Judge, chat: Chat, rows: Mapping[str, Sequence[Row]]) -> list[Case]:
    """What there is to judge, in the order of the data; what has nothing to compare with is left out, and said.

    Raises: DataError when nothing is left.
    """
    sets = {name: list(enumerate(prompts)) for name, prompts in judge.limited(prompts_of_rows(rows)).items()}
    if not sets:
        raise DataError("judge: there is no evaluation set to answer.\n  write data.eval=[test.json]")
    others = _others(judge, sets, rows)
    for name, other in others.items():
        sets[name] = [(index, prompt) for index, prompt in sets[name] if other[index] is not None]
    if lacking := sum(other is None for every in others.values() for other in every):
        announce("judge", f"{lacking:,} rows left out", "they have no other answer to compare with")
    if not any(sets.values()):
        raise DataError(
            "judge: no row has an expected answer to compare with.\n"
            "  compare with another run's: evaluator.judge.against=RUN; or give scores: evaluator.judge.mode=rubric"
        )
    return _answered(judge, chat, sets, others, rows)


Numbered = Mapping[str, list[tuple[int, Prompt]]]


def _others(judge: Judge, sets: Numbered, rows: Mapping[str, Sequence[Row]]) -> dict[str, list[str | None]]:
    """What the answers of each data set are compared with; nothing for a rubric."""
    if judge.mode == "rubric":
        return {}
    if judge.mode == "votes":
        return {name: [_text(rows[name][index], "rejected") for index, _ in some] for name, some in sets.items()}
    if judge.against is None:
        return {name: [_spoken(prompt.answer) for _, prompt in some] for name, some in sets.items()}
    found = answers_of_file(judge.against, _prompts(sets), judge.vote)
    return {
        name: [None if said is None else "" if said.is_silent else said.text for said in every]
        for name, every in found.items()
    }


def _spoken(expected: str | None) -> str | None:
    """An expected answer; None where it says nothing, as one that only calls tools."""
    return expected if expected and expected.strip() else None


def _prompts(sets: Numbered) -> dict[str, list[Prompt]]:
    return {name: [prompt for _, prompt in some] for name, some in sets.items()}


def _answered(
    judge: Judge,
    chat: Chat,
    sets: Numbered,
    others: Mapping[str, list[str | None]],
    rows: Mapping[str, Sequence[Row]],
) -> list[Case]:
    """Cases with the answers that are judged: given before, those of the rows, or the model's."""
    every = [(name, index, prompt) for name, some in sets.items() for index, prompt in some]
    prompts = [prompt for *_, prompt in every]
    said: list[Said | None]
    if judge.mode == "votes":
        said = [Said(str(_text(rows[name][index], "chosen"))) for name, index, _ in every]
    elif judge.answers is not None:
        found = answers_of_file(judge.answers, _prompts(sets), judge.vote)
        said = [one for answers in found.values() for one in answers]
    else:
        given = answered(chat, prompts, judge.sampling(), asking=judge)
        said = [Said(one.text, one.unfinished, one.truncated, one.thought) for one in given]
    cases = []
    for (name, index, prompt), answer in zip(every, said, strict=True):
        if answer is None:
            continue
        vote = vote_of(prompt, answer, judge.vote, scores=judge.mode == "rubric")
        vote = "first" if vote is None and judge.mode == "votes" else vote
        other = others[name][index] if others else None
        cases.append(Case(index, prompt, answer, other, vote, _told(index, prompt, answer, judge.mode != "votes")))
    return cases


def _told(index: int, prompt: Prompt, said: Said, is_models: bool) -> dict[str, Any]:
    """What a record says of an answer."""
    told = {"dataset": prompt.dataset, "index": index, "prompt": prompt.messages, **prompt.places}
    told |= {"answer": prompt.answer, "prediction": said.text}
    if not is_models:
        return told
    thought = {"thought": said.thought} if said.thought else {}
    return {**told, **thought, "unfinished": float(said.unfinished), "truncated": float(said.truncated)}


def _text(row: Row, column: str) -> str | None:
    """What an answer in a column says. Raises: DataError for a row without it."""
    if not row.get(column):
        advice = "votes are of rows with prompt, chosen and rejected; or evaluator.judge.mode=pairwise"
        raise DataError(f"judge: a row has no `{column}`, but {', '.join(sorted(row))}.\n  {advice}")
    contents = [message.get("content") or "" for message in row[column]]
    return "\n".join(
        content if isinstance(content, str) else "".join(part.get("text") or "" for part in content)
        for content in contents
    )


def answers_of_file(path: str, sets: Mapping[str, Sequence[Prompt]], vote: str) -> dict[str, list[Said | None]]:
    """The answers to prompts that a file has, from `tunesmith predict` or `eval`; None where it has none.

    They are found by data set and prompt, whatever their order; where nothing has the name of a data set, by prompt.

    Args:
        vote: key of a human's vote in a record.

    Raises: DataError for a file that cannot be read, and one without an answer to any prompt.
    """
    waiting: dict[tuple[str | None, str], deque[Said]] = defaultdict(deque)
    for record in _records(_file_of(Path(path).expanduser())):
        unfinished, truncated = (bool(record.get(name)) for name in ("unfinished", "truncated"))
        said = Said(str(record["prediction"] or ""), unfinished, truncated, vote=record.get(vote))
        for name in (str(record.get("dataset")), None):
            waiting[name, _key(record["prompt"])].append(said)
    names = {name for name, _ in waiting}
    found = {
        name: [_taken(waiting[name if name in names else None, _key(prompt.messages)]) for prompt in prompts]
        for name, prompts in sets.items()
    }
    lacking = sum(said is None for answers in found.values() for said in answers)
    count = sum(map(len, found.values()))
    if lacking == count:
        raise DataError(
            f"judge: {path} answers none of the {count:,} prompts.\n"
            "  make one of these data: tunesmith predict RUN data.eval=[…]"
        )
    if lacking:
        announce("judge", f"{lacking:,} of {count:,} prompts left out", f"{path} has no answer to them")
    return found


def _file_of(path: Path) -> Path:
    """The file of answers in a run's folder: those of `predict`, else of a judge, else of another evaluator."""
    if not path.is_dir():
        return path
    places = found_in(path)
    folders = [places.pop("judge", path), *places.values()]
    found = [path / "predictions.jsonl", *(folder / SAMPLES for folder in folders)]
    return next((file for file in found if file.is_file() and '"prediction"' in _first_line(file)), found[0])


def _first_line(file: Path) -> str:
    with file.open(encoding="utf-8", errors="replace") as lines:
        return next(lines, "")


def _taken(answers: deque[Said]) -> Said | None:
    return answers.popleft() if answers else None


def _key(messages: Any) -> str:
    """A prompt as it is found by: who says what."""
    said = [[message.get("role"), message.get("content")] for message in messages]
    return json.dumps(said, sort_keys=True, ensure_ascii=False)


def _records(path: Path) -> list[dict[str, Any]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"judge: {path} cannot be read: {error}") from error
    records = []
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict) or not {"prompt", "prediction"} <= record.keys():
            raise DataError(
                f"judge: line {number} of {path} has no `prompt` and `prediction`.\n"
                "  possible: the predictions.jsonl of `tunesmith predict`, the samples.jsonl of `tunesmith eval`"
            )
        records.append(record)
    return records


def vote_of(prompt: Prompt, answer: Said, column: str, scores: bool) -> Verdict | float | None:
    """What a human said of an answer, in its file or in a column of the prompt's row; None where nobody did.

    Args:
        scores: whether it is to be a number.

    Raises: DataError for what is no vote.
    """
    said = answer.vote if answer.vote is not None else prompt.columns.get(column)
    if said is None or said == "":
        return None
    if scores and isinstance(said, int | float) and not isinstance(said, bool):
        return float(said)
    if not scores and (vote := _VOTES.get(str(said).strip().lower())):
        return vote
    possible = "a number" if scores else "first, second, tie; win, loss; chosen, rejected; A, B; 1, 0, 0.5"
    raise DataError(f"judge: {column}={said!r} of data set {prompt.dataset} is no vote.\n  possible: {possible}")
