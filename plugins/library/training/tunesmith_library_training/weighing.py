"""What the tokens of a conversation weigh: rules by who speaks, by part of an answer, and by pattern. Free of torch."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from tunesmith import DataError
from tunesmith.ranges import at_least, filled
from tunesmith.types import Message, Problem, Row
from tunesmith_library_chat import ChatTemplate, Rendered
from tunesmith_library_formats import match

from tunesmith_library_training.rows import warn_once
from tunesmith_library_training.turns import Range, contents_of, parts_of

if TYPE_CHECKING:
    from tunesmith_library_chat.spans import Span

_MOST = 1_000_000  # of a weight
_SECONDS = 10.0  # that a pattern may take for what one message says
_LATEX = re.compile(r"(?<!\\)(?:\\\\)*\\(boxed|begin|end|frac|dfrac|tfrac|text\w*|sqrt|right|left|nabla|theta)\b")
_CONTROLS = {"\b": "\\b", "\f": "\\f", "\v": "\\v", "\a": "\\a"}  # what YAML reads in double quotes


@dataclass(kw_only=True)
class Rule:
    """A part of conversations, and what each of its tokens weighs; later rules win over earlier ones."""

    SHORTHAND: ClassVar[str] = "pattern"

    weight: Annotated[float, at_least(0, most=_MOST)]  # times the loss of a token; 0 is not trained
    # regular expression, sought in each message as it is rendered, without what ends it; null is all that is said
    pattern: Annotated[str | None, filled] = None
    role: Literal["assistant", "user", "system", "tool"] = "assistant"  # whose messages
    # of the assistant's messages; answer is all but thought and calls, end the string that ends it; null is all of it
    part: Literal["thought", "calls", "answer", "end"] | None = None

    def __str__(self) -> str:
        found = f"the pattern {self.pattern}" if self.pattern else "all"
        where = f"the assistant's {self.part}" if self.part else f"{self.role} messages"
        return f"{found} in {where}, weight {self.weight:g}"


def rule_problems(rules: Sequence[Rule], last_only: bool = False) -> list[Problem]:
    """What is wrong with the rules of `stage.weights`, before anything is read.

    Args:
        last_only: only the assistant's last turn is trained.
    """
    found = []
    for index, rule in enumerate(rules):
        key = f"stage.weights[{index}]"
        if rule.part and rule.role != "assistant":
            message = f"{key}: a message of {rule.role} has no {rule.part}, which is a part of the assistant's."
            found.append(Problem(f"{key}.part", message, "leave part out, or role"))
        if last_only and rule.role != "assistant":
            message = f"{key} weighs messages of {rule.role}; stage.last_turn_only trains the last answer alone."
            found.append(Problem(f"{key}.role", message, "stage.last_turn_only=false"))
        if rule.pattern:
            found += _pattern_problems(rule.pattern, f"{key}.pattern")
    if rules and not any(rule.weight for rule in rules) and all(_is_everything(rule) for rule in rules):
        found.append(Problem("stage.weights", "stage.weights trains nothing.", "give a rule a weight above 0"))
    return found


def _is_everything(rule: Rule) -> bool:
    return rule.pattern is None and rule.part is None and rule.role == "assistant"


def _pattern_problems(pattern: str, key: str) -> list[Problem]:
    import regex

    shown = "".join(_CONTROLS.get(character, character) for character in pattern)
    try:
        compiled = regex.compile(pattern)
    except regex.error as error:
        place = "" if error.pos is None else f" at character {error.pos + 1}"
        message = f"{key}: {shown} is no regular expression: {error.msg}{place}."
        near = regex.escape(shown, literal_spaces=True)
        return [Problem(key, message, f"as plain text it is {near}\nin YAML write it in single quotes")]
    if shown != pattern:
        message = f"{key}: {shown} holds a control character, as YAML reads a backslash in double quotes."
        return [Problem(key, message, f"write it in single quotes; the text {shown} is found by \\{shown}", "warning")]
    latex = _LATEX.search(pattern)
    if latex:
        message = f"{key}: \\{latex[1]} is read as \\{latex[1][0]}, which has a meaning of its own, and {latex[1][1:]}."
        advice = f"the text \\{latex[1]} is found by \\\\{latex[1]}, in single quotes"
        return [Problem(key, message, advice, "warning")]
    if compiled.fullmatch(""):
        message = f"{key}: {pattern} finds nothing at every place, too; only what it finds of a character counts."
        return [Problem(key, message, "write + for *, if that is meant", "warning")]
    return []


def weight_of(message: Message) -> float:
    """What a message weighs, 1 where it does not say. Raises: DataError for a weight below 0, or none at all."""
    return checked(message.get("weight"), "a message")


def checked(weight: Any, whose: str) -> float:
    """A weight, 1 where it is not said. Raises: DataError."""
    if weight is None:
        return 1.0
    try:
        number = float(weight)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not 0 <= number <= _MOST:
        raise DataError(f"the weight of {whose} must be a number from 0 to {_MOST:,}, found {weight}")
    return number


@dataclass(kw_only=True, eq=False)
class RowWeights:
    """A stage whose rows may count more or less than one."""

    # multiply the loss of a row by its `weight`, a column of the data set or one that columns name
    row_weights: bool = False

    def weighed_rows(self, rows: Sequence[Row], stage: str, said: set[str]) -> list[Row]:
        """The rows that count for something. Others are counted, and so are those with a weight that is not read."""
        if not self.row_weights:
            unused = sum(row.get("weight") not in (None, 1.0) for row in rows)
            what = "have a weight, which is not used; stage.row_weights=true multiplies their loss by it"
            warn_once(said, stage, unused, rows, what)
            return list(rows)
        kept = [row for row in rows if row.get("weight") != 0]
        warn_once(said, stage, len(rows) - len(kept), rows, "have the weight 0 and are left out", lost=True)
        return kept


@dataclass(kw_only=True, eq=False)
class TokenWeights(RowWeights):
    """A stage whose tokens may count more or less than one."""

    # multiply the loss by each message's weight; a weight of 0 always means not trained
    message_weights: bool = False
    # what parts of conversations weigh: rules of weight, pattern, role, part, of which the last one counts
    weights: list[Rule] = field(default_factory=list)

    def weighing(self, template: ChatTemplate) -> Weighing | None:
        """The rules for one call of `encode`; None without any."""
        return Weighing(self.weights, template) if self.weights else None


class Weighing:
    """The rules, as they are applied to one conversation after the other, and what each of them holds of which."""

    def __init__(self, rules: Sequence[Rule], template: ChatTemplate) -> None:
        import regex

        self._rules, self._template = rules, template
        self._patterns = [regex.compile(rule.pattern) if rule.pattern else None for rule in rules]
        self._held: list[set[int]] = []  # of each conversation the rules that hold something of it

    def ranges(self, row: Row, rendered: Rendered, spans: Sequence[Span]) -> Iterator[tuple[int, int, float, int]]:
        """What the rules hold, rule after rule: characters, the weight, and the message that they are of.

        Args:
            spans: what of the assistant's is trained.

        Raises: DataError where a pattern takes too long.
        """
        messages, held = row["messages"], set[int]()
        self._held.append(held)
        others = {}
        if any(rule.role != "assistant" for rule in self._rules):
            others = contents_of(row, rendered, self._template)
        parts = {}
        if any(rule.part for rule in self._rules):
            parts = {
                span: parts_of(rendered.text, (span.start, span.end), messages[span.message], self._template)
                for span in spans
            }
        for number, rule in enumerate(self._rules):
            if rule.role != "assistant":
                within = [(place, index) for index, place in others.items() if messages[index]["role"] == rule.role]
            else:
                said = {span: parts[span][rule.part] if rule.part else [(span.start, span.end)] for span in spans}
                within = [(place, span.message) for span, places in said.items() for place in places]
            for place, message in within:
                if not weight_of(messages[message]):
                    continue
                for start, end in self._found(number, rendered.text, place):
                    held.add(number)
                    yield start, end, rule.weight, message

    def _found(self, number: int, text: str, place: Range) -> Iterator[Range]:
        pattern = self._patterns[number]
        if pattern is None:
            yield place
            return
        said = text[place[0] : place[1]]
        if self._rules[number].part != "end":
            said = said.removesuffix(next(filter(said.endswith, self._template.stop), ""))
        try:
            for found in pattern.finditer(said, timeout=_SECONDS):
                if found.end() > found.start():
                    yield place[0] + found.start(), place[0] + found.end()
        except TimeoutError as error:
            slow = f"stage.weights[{number}].pattern takes more than {_SECONDS:g} s for what one message says"
            raise DataError(f"{slow}: {pattern.pattern}\n  nested repetitions, as in (a+)+, take for ever") from error

    def count(self, rows: int) -> None:
        """Count of which rows each rule holds something; a row's conversations came every `rows`-th."""
        for number, rule in enumerate(self._rules):
            held = {index % rows for index, rules in enumerate(self._held) if number in rules} if rows else ()
            match(f"stage.weights[{number}], {rule}", len(held))
