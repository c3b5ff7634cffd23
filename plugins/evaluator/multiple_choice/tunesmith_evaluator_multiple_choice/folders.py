"""Sets of questions as they are published: a folder, a zip file or one file, with parts (test, val, dev) and subjects.

Both are read off the names: `test/anatomy_test.csv` of MMLU and C-Eval, `dev/anatomy.csv` of CMMLU, and of hubs
`anatomy/test.jsonl` and `all/test-00000-of-00001.parquet`; a column `subject` says more than the name of a file.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from tunesmith import DataError
from tunesmith.errors import choices

from tunesmith_evaluator_multiple_choice.questions import Question, question_of
from tunesmith_evaluator_multiple_choice.records import SUFFIXES, records_of

_PARTS = {"test": "test", "val": "val", "valid": "val", "validation": "val", "dev": "dev", "train": "train"}
_PART = re.compile(rf"^(?:(?P<subject>.+)[_-])?(?P<part>{'|'.join(_PARTS)})(?:-\d+-of-\d+)?$")
_NO_QUESTIONS = {"mapping", "subject_mapping", "dataset_info", "dataset_infos", "config"}
_WHOLE = {"all", "data", "default"}  # folders that are no subject
_LARGEST = 2**31  # bytes that a zip file may unpack to


@dataclass(frozen=True)
class _File:
    place: PurePosixPath  # within the set
    content: Path | tuple[Path, str]  # a file, or a zip file and the name in it

    def read(self) -> bytes:
        if isinstance(self.content, Path):
            return self.content.read_bytes()
        with zipfile.ZipFile(self.content[0]) as archive:
            return archive.read(self.content[1])


@dataclass(frozen=True)
class QuestionSet:
    """The questions of a set, by part (test, val, dev, train; "" where it is not said) and subject."""

    path: Path
    parts: dict[str, dict[str, list[Question]]] = field(default_factory=dict)

    def part(self, name: str) -> dict[str, list[Question]]:
        """The questions of a part, by subject. A set without parts is all of them.

        Raises: DataError when there is none of the name, or it is empty.
        """
        wanted = _PARTS.get(name, name)
        if wanted not in self.parts and list(self.parts) != [""]:
            raise DataError(f"{self.path} has no part {name}.\n{choices(name, self.parts, 'its parts')}")
        found = self.parts.get(wanted, self.parts.get("", {}))
        if not found:
            raise DataError(f"multiple_choice: {self.path} has no questions: what would have them is empty.")
        return found

    def examples(self) -> dict[str, list[Question]]:
        """The questions that may be shown with their answers, by subject: those of dev, else of train."""
        return self.parts.get("dev") or self.parts.get("train") or {}


def questions_in(path: str) -> QuestionSet:
    """Read a set of questions.

    Raises: DataError where there are none, and for a file that is not of questions with choices, with its place.
    """
    found = QuestionSet(Path(path).expanduser())
    if not found.path.exists():
        raise DataError(f"multiple_choice: {found.path} is not there.\n  evaluator.multiple_choice.path=FOLDER")
    for file in _files(found.path):
        part, subject = _named(file.place)
        subjects = found.parts.setdefault(part, {})
        for number, record in enumerate(records_of(file.place.name, file.read())):
            try:
                question = question_of(record, subject)
            except DataError as error:
                raise DataError(f"{found.path}: {file.place}, question {number}: {error}") from error
            subjects.setdefault(question.subject, []).append(question)
    if not found.parts:
        listed = ", ".join(SUFFIXES)
        raise DataError(
            f"multiple_choice: {found.path} has no questions: no file ends in {listed}, or in .zip of these."
        )
    return found


def _files(path: Path) -> Iterator[_File]:
    if path.is_file():
        yield from _unpacked(path, _File(PurePosixPath(path.name), path))
        return
    for each in sorted(each for each in path.rglob("*") if each.is_file()):
        yield from _unpacked(each, _File(PurePosixPath(each.relative_to(path).as_posix()), each))


def _unpacked(path: Path, file: _File) -> Iterator[_File]:
    if path.suffix.lower() == ".zip":
        yield from _in_archive(path)
    elif _is_wanted(file.place):
        yield file


def _in_archive(path: Path) -> Iterator[_File]:
    try:
        with zipfile.ZipFile(path) as archive:
            infos = [info for info in archive.infolist() if _is_wanted(PurePosixPath(info.filename))]
    except zipfile.BadZipFile as error:
        raise DataError(f"{path} is no zip file: {error}") from error
    if sum(info.file_size for info in infos) > _LARGEST:
        raise DataError(f"{path} would unpack to more than {_LARGEST:,} bytes.")
    for info in sorted(infos, key=lambda info: info.filename):
        yield _File(PurePosixPath(info.filename), (path, info.filename))


def _is_wanted(place: PurePosixPath) -> bool:
    """Whether it is a file of questions, and not of those that MMLU trains on beside its subjects."""
    hidden = any(part.startswith((".", "__")) or part == "auxiliary_train" for part in place.parts)
    return place.suffix.lower() in SUFFIXES and place.stem not in _NO_QUESTIONS and not hidden


def _named(place: PurePosixPath) -> tuple[str, str]:
    """The part and the subject that a file's name and its folders say."""
    folders: Sequence[str] = place.parts[:-1]
    match = _PART.match(place.stem)
    by_folder = next((_PARTS[name] for name in reversed(folders) if name in _PARTS), "")
    outer = next((name for name in reversed(folders) if name not in _PARTS and name not in _WHOLE), "")
    if by_folder:
        own = match and match["subject"] and _PARTS[match["part"]] == by_folder
        return by_folder, match["subject"] if own and match else "" if match else place.stem
    if match:
        return _PARTS[match["part"]], match["subject"] or outer
    return "", place.stem
