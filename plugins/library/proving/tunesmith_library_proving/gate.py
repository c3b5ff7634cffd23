"""The gate: what an exporter asks whether its artefact is the trained model, and the report that comes of it."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tunesmith import TunesmithError, announce
from tunesmith.messages import logger
from tunesmith.types import ModelHandle
from tunesmith_library_chat import tokenizer_of

from tunesmith_library_proving.figures import Figures, Limits, compare
from tunesmith_library_proving.inventory import Inventory
from tunesmith_library_proving.readers import ModelReader, Reader
from tunesmith_library_proving.texts import Texts, texts_of
from tunesmith_library_proving.wording import conversations

REPORT = "export_report.json"
"""The file of an artefact that says what it was compared with, and how far it is from that."""

_ANSWER = 8  # tokens of the answer to the fixed prompt
_VALUES = 24_000_000  # logits that are kept of one model: 96 MB
_FEWEST = 16  # positions, however large the vocabulary
_FEW = 100_000  # logits that are no matter for the disk


@dataclass(frozen=True)
class Observation:
    """What a model says to the conversations of the gate."""

    said: tuple[torch.Tensor, ...]  # float32, each (T, V), or a classifier's scores (labels,)
    answer: tuple[int, ...]  # to the fixed prompt, greedy; () of a classifier
    margins: tuple[float, ...]  # by how much each of these tokens was likelier than the next, in logits

    @property
    def writes(self) -> bool:
        """Whether it is of a model that writes, and not of a classifier."""
        return self.said[0].ndim > 1


class Gate:
    """Compares an artefact with the model that was trained; what differs is collected until `finish`.

    Args:
        form: the name of the format, for the report.
        handle: of the trained model.
        beside: a folder in which what was said may be kept, without a name; None keeps it in memory.
    """

    def __init__(self, form: str, handle: ModelHandle, beside: Path | None = None) -> None:
        self._handle, self._form, self._beside = handle, form, beside
        self._texts: Texts = handle.shared.once("texts", lambda: texts_of(handle))
        self._ids: list[tuple[int, ...]] = handle.shared.once("compared", list)  # of each text; the first look decides
        self._problems: list[str] = []
        self._report: dict[str, Any] = {"format": form, "program": None}
        self._line = ""

    def trained(self, model: Any = None) -> Observation:
        """What the trained model says, in memory, with its adapter: what everything else is compared with.

        Exporters of one command ask it once.

        Args:
            model: it; None loads it where nobody has asked before.
        """

        def look() -> Observation:
            return self._look_at_trained(ModelReader(self._handle.load() if model is None else model))

        observed: Observation = self._handle.shared.once("trained", look)
        return observed

    def _look_at_trained(self, reader: Reader) -> Observation:
        said = self._first_look(reader)
        return Observation(tuple(said), *(_greedy(reader, self._prompt()) if said[0].ndim > 1 else ((), ())))

    def look(self, reader: Reader, answers: bool = True) -> Observation:
        """Let what became of a model say something to every conversation; `trained` comes before.

        Args:
            answers: whether to continue the fixed prompt too.
        """
        said = tuple(self._kept(reader.logits(ids)) for ids in self._ids)
        writes = answers and said[0].ndim > 1
        return Observation(said, tuple(reader.answer(self._prompt(), _ANSWER)) if writes else (), ())

    def _first_look(self, reader: Reader) -> list[torch.Tensor]:
        """Choose how many tokens of each conversation are compared, by the size of what is said of one."""
        said, room = list[torch.Tensor](), _VALUES
        for text in self._texts.texts:
            ids = text.compared(room)
            if not ids:
                break
            found = reader.logits(ids)
            if found.ndim > 1:
                room = room if said else max(_VALUES // found.shape[-1], _FEWEST)
                ids, found = ids[:room], found[:room]
                room -= len(ids)
            said.append(self._kept(found))
            self._ids.append(ids)
        return said

    def _kept(self, said: torch.Tensor) -> torch.Tensor:
        """What was said, on the disk: a large vocabulary's logits of some conversations are a small model's size."""
        if self._beside is None or said.numel() < _FEW or not self._beside.is_dir():
            return said
        try:
            return _on_disk(said, self._beside)
        except OSError:  # what is written there next says that it is full
            return said

    def _prompt(self) -> list[int]:
        text = next((text.prompt for text in self._texts.texts if text.prompt), "")
        encode = tokenizer_of(self._handle.processor).encode
        return list(encode(text, add_special_tokens=False)) if text else list(self._texts.texts[0].ids[:_FEWEST])

    def figures(self, before: Observation, after: Observation) -> Figures:
        """How far two models are from each other.

        Raises: TunesmithError when they have vocabularies of different sizes.
        """
        try:
            return compare(before.said, after.said, self._ids if before.writes else None)
        except ValueError as error:
            raise TunesmithError(f"the vocabulary, or the number of scores, has changed: {error}") from error

    def refuse(self, what: str, before: Observation, after: Observation, limits: Limits) -> Figures:
        """Compare two stages of an export, and go no further where a limit is passed.

        Args:
            what: was done between them, as in `merging`.

        Raises: TunesmithError that says what differs.
        """
        found = self.figures(before, after)
        self._report.setdefault("stages", {})[what] = found.as_json() | {"limits": limits.as_json()}
        beyond = limits.passed(found)
        if beyond:
            raise TunesmithError(
                f"{what} changes the model: {'; '.join(beyond)}.\n"
                "  nothing was written; exporter.tolerance allows more, exporter.verify=false does not look"
            )
        return found

    def expect(
        self, before: Observation, after: Observation, limits: Limits, reader: Reader, base: Figures | None = None
    ) -> None:
        """Compare what was trained with what the serving program says.

        Args:
            base: the drift of the base that was put through the same format.
        """
        found = self.figures(before, after)
        self._problems += [f"in {reader.program} {problem}" for problem in limits.passed(found, base)]
        self._report |= {"program": reader.program, "figures": found.as_json(), "limits": limits.as_json()}
        if base is not None:
            self._report["base_in_this_format"] = base.as_json()
        self._expect_answer(before, after, found, limits)
        texts = self._texts
        count = sum(map(len, self._ids))
        self._report["compared_on"] = {"conversations": len(self._ids), "tokens": count, "origin": texts.origin}
        beside = f"; the base in this format: KL {base.divergence:.2g}" if base is not None else ""
        self._line = f"{found.described()}{beside}; {len(self._ids)} conversations, {count} tokens, {texts.origin}"

    def _expect_answer(self, before: Observation, after: Observation, found: Figures, limits: Limits) -> None:
        """The greedy answers, equal unless two tokens were about as likely as each other."""
        if not before.answer or not after.answer:
            return
        decode = tokenizer_of(self._handle.processor).decode
        at = next((at for at, (a, b) in enumerate(zip(before.answer, after.answer, strict=False)) if a != b), None)
        ours, theirs = decode(list(before.answer)), decode(list(after.answer))
        self._report["answer"] = {"prompt": decode(self._prompt()), "trained": ours, "written": theirs}
        allowed = min(2 * limits.largest, 4 * found.largest + 1e-6)
        if at is not None and before.margins[at] > allowed:
            self._problems.append(f"it answers {theirs!r} where the trained model answers {ours!r}")

    def wording(self, reader: Reader, more: Iterable[str] = ()) -> None:
        """Compare rendered text and tokens with the trained ones; `more` are further differences that were found."""
        trained = tokenizer_of(self._handle.processor)
        self.add("text", [*conversations(reader, self._texts.texts, trained), *more])

    def tensors(self, found: Inventory) -> None:
        """Take an inventory into the report."""
        self._report["tensors"] = found.as_json()
        self._problems += found.problems()

    def add(self, what: str, problems: Sequence[str], **facts: Any) -> None:
        """Take a further check into the report: its name, what is wrong, and what was found."""
        self._problems += problems
        self._report[what] = facts | ({"problems": list(problems)} if problems else {"equal": True})

    def finish(self, folder: Path | None) -> None:
        """Write the report beside the artefact, and say it in one line.

        Args:
            folder: of the artefact; None leaves the report out.

        Raises: TunesmithError that lists everything that differs.
        """
        if self._problems:
            listed = "\n".join(f"  {problem}" for problem in dict.fromkeys(self._problems))
            raise TunesmithError(
                f"what exporter={self._form} wrote is not the model that was trained.\n{listed}\n"
                "  nothing of it is kept; exporter.verify=false writes it all the same"
            )
        if folder is not None:
            text = json.dumps(self._report, indent=2, ensure_ascii=False) + "\n"
            (folder / REPORT).write_text(text, encoding="utf-8")
        announce("proven", self._report["program"], self._line)


def skipped(form: str) -> None:
    """Say that an artefact is not compared with anything."""
    logger.warning("exporter=%s: not proven, exporter.verify=false: nothing compares it with what was trained", form)


def _on_disk(said: torch.Tensor, folder: Path) -> torch.Tensor:
    """The same numbers in a file of a folder that has no name, and is gone with the tensor."""
    with tempfile.NamedTemporaryFile(prefix=".said-", dir=folder, delete=False) as file:
        try:
            file.write(said.contiguous().numpy().data)
            file.flush()
            held = torch.from_file(file.name, shared=True, size=said.numel(), dtype=torch.float32)
        finally:
            with contextlib.suppress(OSError):  # of a system that keeps the name until the tensor is gone
                os.unlink(file.name)
    return held.view(said.shape)


def _greedy(reader: Reader, prompt: Sequence[int]) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """The likeliest tokens after a prompt, and by how many logits each was likelier than the next."""
    ids, margins = list(prompt), []
    for _ in range(_ANSWER):
        best = reader.last(ids).topk(2)
        ids.append(int(best.indices[0]))
        margins.append(float(best.values[0] - best.values[1]))
    return tuple(ids[len(prompt) :]), tuple(margins)
