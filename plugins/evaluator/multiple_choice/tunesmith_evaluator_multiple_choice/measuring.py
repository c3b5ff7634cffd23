"""From a set of questions to accuracies by subject and category."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith import DataError
from tunesmith.errors import choices
from tunesmith_library_evaluating import Evaluation, EvaluationData, Measured
from tunesmith_library_evaluating.answering import answered, explained
from tunesmith_library_evaluating.prompts import Prompt
from tunesmith_library_evaluating.statistics import mean

from tunesmith_evaluator_multiple_choice.folders import questions_in
from tunesmith_evaluator_multiple_choice.letters import letter_in
from tunesmith_evaluator_multiple_choice.likelihood import in_text, in_turns
from tunesmith_evaluator_multiple_choice.questions import Question
from tunesmith_evaluator_multiple_choice.rows import questions_of_rows
from tunesmith_evaluator_multiple_choice.subjects import Subject, subjects_of
from tunesmith_evaluator_multiple_choice.wording import WORDINGS

if TYPE_CHECKING:
    from tunesmith_library_engine.chatting import Chat

    from tunesmith_evaluator_multiple_choice import MultipleChoice

AVERAGE = "average"
"""The part of all questions together."""

_LESS = {"unanswered", "unfinished", "truncated"}  # of which less is better


@dataclass(frozen=True)
class Part:
    """The questions of one subject or data set, and what is shown before each of them."""

    name: str
    subject: Subject
    questions: Sequence[Question]
    examples: Sequence[Question] = ()
    wider: Sequence[str] = ()  # further parts that count its questions: all together, and the category


def measure(options: MultipleChoice, chat: Chat, data: EvaluationData) -> Evaluation:
    """What `MultipleChoice.evaluate` gives."""
    parts = _from_rows(options, data) if options.path is None else _from_path(options, options.path)
    records = [record for part in parts for record in _records(options, chat, part)]
    metrics = {part.name: _metrics([each for each in records if each["dataset"] == part.name]) for part in parts}
    wider = {name: _metrics([it for it in records if name in it["parts"]]) for part in parts for name in part.wider}
    if wider:
        wider[AVERAGE]["macro_accuracy"] = _mean_of([metrics[part.name]["accuracy"] for part in parts])
        metrics = {**wider, **metrics}
    return Evaluation(metrics, records, _settings(options, chat, parts))


def _from_rows(options: MultipleChoice, data: EvaluationData) -> list[Part]:
    sets = options.limited(questions_of_rows(data.rows()))
    if not sets:
        raise DataError(
            "multiple_choice: there are no questions: no evaluation set has rows.\n"
            "  write evaluator.multiple_choice.path=FOLDER, or data.eval=[FILE] with a column `choices`"
        )
    return [Part(name, Subject(""), questions) for name, questions in sets.items()]


def _from_path(options: MultipleChoice, path: str) -> list[Part]:
    """The subjects of a set. Raises: DataError for what it does not have."""
    found = questions_in(path)
    part = found.part(options.split)
    wanted = options.subjects or sorted(part)
    for name in wanted:
        if name not in part:
            raise DataError(f"{path} has no subject {name}.\n{choices(name, part, 'its subjects')}")
    secret = [name for name in wanted if any(question.answer is None for question in part[name])]
    if secret:
        raise DataError(
            f"{path}: the questions of its part {options.split} have no answers, such as those of {secret[0]}.\n"
            f"{choices('val', found.parts, 'its parts')}"
        )
    described = subjects_of(Path(path).expanduser(), wanted, options.prompt == "zh")
    questions = options.limited({name: part[name] for name in wanted})
    examples = {} if options.split in ("dev", "train") else found.examples()
    parts = [
        Part(
            name or Path(path).stem,
            described[name],
            some,
            _shown(options, name, examples),
            [AVERAGE, *filter(None, [described[name].category])],
        )
        for name, some in questions.items()
    ]
    lacking = [part.name for part in parts if len(part.examples) < options.few_shot]
    if lacking:
        fewest = min(len(part.examples) for part in parts)
        told = f"few_shot={options.few_shot}: {len(lacking)} of {len(parts)} subjects have fewer examples"
        raise DataError(f"{path}: {told}, such as {lacking[0]}.\n  evaluator.multiple_choice.few_shot={fewest}")
    return parts


def _shown(options: MultipleChoice, subject: str, examples: Mapping[str, Sequence[Question]]) -> list[Question]:
    answered_ones = [question for question in examples.get(subject, ()) if question.answer is not None]
    return answered_ones[: options.few_shot]


def _records(options: MultipleChoice, chat: Chat, part: Part) -> list[dict[str, Any]]:
    """What is found out about each question."""
    wording = WORDINGS[options.prompt]
    shown = [(example, _written(options, example)) for example in part.examples]
    turns = [wording.messages(question, shown, part.subject.name) for question in part.questions]
    if options.through == "generation":
        return _generated(options, chat, part, turns)
    answers = [_answers(options, question) for question in part.questions]
    if options.chat:
        likelihoods = in_turns(chat, options, turns, answers)
    else:
        texts = [wording.text(question, shown, part.subject.name) for question in part.questions]
        spaced = [[wording.separator + answer for answer in some] for some in answers]
        likelihoods = in_text(chat, texts, spaced)
    return [
        {**_asked(part, index, turns[index]), **_chosen(options, question, likelihoods[index])}
        for index, question in enumerate(part.questions)
    ]


def _answers(options: MultipleChoice, question: Question) -> Sequence[str]:
    return question.choices if options.through == "choices" else question.letters


def _written(options: MultipleChoice, question: Question) -> str:
    return _answers(options, question)[question.answer or 0]


def _asked(part: Part, index: int, turns: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What a record tells of its question; the examples before it are those of all."""
    parts = {"parts": list(part.wider)} if part.wider else {}
    return {"dataset": part.name, "index": index, **parts, "prompt": list(turns[-1:])}


def _chosen(options: MultipleChoice, question: Question, likelihoods: Sequence[float]) -> dict[str, Any]:
    letters = question.letters
    best = max(range(len(letters)), key=likelihoods.__getitem__)
    found: dict[str, Any] = {"accuracy": float(best == question.answer)}
    if options.through == "choices":
        normed = [value / max(len(text), 1) for value, text in zip(likelihoods, question.choices, strict=True)]
        found["accuracy_norm"] = float(normed.index(max(normed)) == question.answer)
    told = dict(zip(letters, likelihoods, strict=True))
    return {**found, "answer": question.letter, "prediction": letters[best], "log_likelihoods": told}


def _generated(
    options: MultipleChoice, chat: Chat, part: Part, turns: Sequence[list[dict[str, Any]]]
) -> list[dict[str, Any]]:
    prompts = [
        Prompt(part.name, messages, question.letter, None, {})
        for messages, question in zip(turns, part.questions, strict=True)
    ]
    answers = answered(chat, prompts, options.sampling(), asking=options)
    records = []
    for index, (question, prompt, answer) in enumerate(zip(part.questions, prompts, answers, strict=True)):
        letter = None if answer.unfinished else letter_in(answer.text, question.choices)
        numbers = {"accuracy": float(letter == question.letter), "unanswered": float(letter is None)}
        told = {**explained(prompt, answer), **_asked(part, index, turns[index])}
        records.append({**told, **numbers, "chosen": letter})
    return records


def _metrics(records: Sequence[Mapping[str, Any]]) -> dict[str, Measured]:
    names = ("accuracy", "accuracy_norm", "unanswered", "unfinished", "truncated")
    return {
        name: mean([record[name] for record in records], greater_is_better=name not in _LESS)
        for name in names
        if name in records[0]
    }


def _mean_of(numbers: Sequence[Measured]) -> Measured:
    """The mean of numbers that were measured independently of each other."""
    errors = [number.standard_error for number in numbers]
    known = [error for error in errors if error is not None]
    error = math.sqrt(math.fsum(it * it for it in known)) / len(numbers) if len(known) == len(errors) else None
    return Measured(math.fsum(number.value for number in numbers) / len(numbers), error, len(numbers))


def _settings(options: MultipleChoice, chat: Chat, parts: Sequence[Part]) -> dict[str, Any]:
    own = {
        "path": options.path,
        "split": options.split if options.path else None,
        "few_shot": options.few_shot,
        "prompt": options.prompt,
        "through": options.through,
        "chat": options.chat,
        "subjects": len(parts),
    }
    asked = options.settings(chat)
    if not options.chat:
        asked = {"limit": options.limit}
    elif options.through != "generation":
        asked = {name: value for name, value in asked.items() if name.startswith("template") or name == "limit"}
        asked["enable_thinking"] = bool(options.enable_thinking)
    return {**own, **asked}
