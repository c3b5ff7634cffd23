"""Sets of questions in the forms in which they are published, and letters in answers as models write them."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from tunesmith import DataError
from tunesmith_evaluator_multiple_choice.folders import questions_in
from tunesmith_evaluator_multiple_choice.letters import letter_in
from tunesmith_evaluator_multiple_choice.questions import Question, question_of
from tunesmith_evaluator_multiple_choice.subjects import Subject, subjects_of

FOUR = ("Paris", "Rome, Italy", 'a "b"', "NA")
MMLU = 'What, then?\nSay it.,Paris,"Rome, Italy","a ""b""",NA,B\n'.replace(
    "What, then?\nSay it.", '"What, then?\nSay it."'
)


def written(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_mmlu(tmp_path: Path) -> None:
    files = {"data/test/anatomy_test.csv": MMLU, "data/dev/anatomy_dev.csv": MMLU, "data/auxiliary_train/x.csv": "?"}
    found = questions_in(str(written(tmp_path, files)))
    assert found.part("test") == {"anatomy": [Question("What, then?\nSay it.", FOUR, 1, "anatomy")]}
    assert list(found.parts) == ["dev", "test"] and list(found.examples()) == ["anatomy"]


def test_ceval_keeps_the_answers_of_its_test_part(tmp_path: Path) -> None:
    head = "id,question,A,B,C,D"
    files = {
        "val/law_val.csv": f"\ufeff{head},answer\n0,问？,甲,乙,丙,丁,C\n",
        "dev/law_dev.csv": f"{head},answer,explanation\n0,问？,甲,乙,丙,丁,A,因为\n",
        "test/law_test.csv": f"{head}\n0,问？,甲,乙,丙,丁\n",
    }
    found = questions_in(str(written(tmp_path, files)))
    assert found.part("validation")["law"] == [Question("问？", ("甲", "乙", "丙", "丁"), 2, "law")]
    assert found.part("test")["law"][0].answer is None
    assert found.examples()["law"][0].letter == "A"


def test_cmmlu(tmp_path: Path) -> None:
    files = {
        "test/arts.csv": ",Question,A,B,C,D,Answer\n0,问？,甲,乙,丙,丁,D\n",
        "dev/arts.csv": ",Question,A,B,Answer\n",
    }
    found = questions_in(str(written(tmp_path, files)))
    assert [question.letter for question in found.part("test")["arts"]] == ["D"]


def test_a_zip_file_beside_a_mapping(tmp_path: Path) -> None:
    """LLaMA-Factory's folders."""
    with zipfile.ZipFile(tmp_path / "mmlu.zip", "w") as archive:
        archive.writestr("data/test/tides_test.csv", MMLU)
        archive.writestr("__MACOSX/data/test/._tides_test.csv", "?")
    mapping = {"tides": {"name": "the tides", "category": "STEM"}}
    written(tmp_path, {"mapping.json": json.dumps(mapping), "mmlu.py": "raise SystemExit"})
    assert list(questions_in(str(tmp_path)).part("test")) == ["tides"]
    assert subjects_of(tmp_path, ["tides"]) == {"tides": Subject("the tides", "STEM")}
    assert subjects_of(tmp_path / "mmlu.zip", ["tides"])["tides"].category == "STEM"


def test_hubs(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    rows = [{"question": "q", "subject": name, "choices": ["a", "b"], "answer": 1} for name in ("law", "art")]
    (tmp_path / "all").mkdir()
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "all" / "test-00000-of-00001.parquet")
    lines = "".join(json.dumps({"question": "q", "choices": ["a", "b"], "answer": "a"}) + "\n" for _ in range(2))
    written(tmp_path, {"law/validation.jsonl": lines})
    found = questions_in(str(tmp_path))
    assert {name: len(some) for name, some in found.part("test").items()} == {"law": 1, "art": 1}
    assert [question.answer for question in found.part("val")["law"]] == [0, 0]


def test_a_single_file_is_all_there_is(tmp_path: Path) -> None:
    written(tmp_path, {"mine.json": json.dumps([{"question": "q", "A": "a", "B": "b", "answer": "B"}])})
    found = questions_in(str(tmp_path / "mine.json"))
    assert found.part("test") == found.part("val") == {"mine": [Question("q", ("a", "b"), 1, "mine")]}


@pytest.mark.parametrize(
    ("record", "answer"),
    [
        ({"choices": ["x", "y", "z"], "answer": 2}, 2),
        ({"choices": ["x", "y", "z"], "answer": "2"}, 2),
        ({"choices": ["3", "2", "1"], "answer": "2"}, 1),  # a text before a place
        ({"options": {"A": "x", "B": "y"}, "answer": "(b)"}, 1),
        ({"choices": {"text": ["x", "y", "z"], "label": ["1", "2", "3"]}, "answerKey": "2"}, 1),
        ({"options": list("abcdefghij"), "answer_index": 9}, 9),
        ({"A": "x", "B": "y", "C": None, "Answer": "y"}, 1),
    ],
)
def test_answers_as_letter_place_or_text(record: Any, answer: int) -> None:
    assert question_of({"question": "q", **record}).answer == answer


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"text": "q"}, "it has no question, but text"),
        ({"question": "q", "answer": "A"}, "it has 0 choices"),
        ({"question": "q", "choices": ["a", "b"], "answer": "E"}, "its answer 'E' is none of 2 choices"),
        ({"question": "q", "choices": ["a", "b"], "answer": 2}, "its answer 2 is none of 2 choices"),
    ],
)
def test_records_of_another_shape_are_told_with_their_place(record: Any, message: str, tmp_path: Path) -> None:
    written(tmp_path, {"test/law.json": json.dumps([{"question": "q", "A": "a", "B": "b", "answer": "A"}, record])})
    with pytest.raises(DataError, match=r"test/law\.json, question 1: " + message.replace("(", r"\(")):
        questions_in(str(tmp_path))


@pytest.mark.parametrize(
    "files",
    [
        {"own.jsonl": ""},
        {"test/law.csv": "question,A,B,answer\n", "dev/law.csv": "question,A,B,answer\nq,a,b,A\n"},
    ],
)
def test_a_part_without_a_question_is_told(files: dict[str, str], tmp_path: Path) -> None:
    written(tmp_path, files)
    with pytest.raises(DataError, match="has no questions: what would have them is empty"):
        questions_in(str(tmp_path)).part("test")


def test_files_that_are_none(tmp_path: Path) -> None:
    written(tmp_path, {"a/test.csv": "only,three,cells\n", "b/x.zip": "no zip", "c/readme.md": "hello"})
    for name, message in (("a", "a row has 3 cells"), ("b", "is no zip file"), ("c", "has no questions")):
        with pytest.raises(DataError, match=message):
            questions_in(str(tmp_path / name))


def test_known_sets_say_categories() -> None:
    path = Path("somewhere")
    assert subjects_of(path, ["anatomy", "virology"])["anatomy"] == Subject("anatomy", "Other")
    assert subjects_of(path, ["anatomy", "virology"], chinese=True)["anatomy"] == Subject("解剖学", "STEM")
    assert subjects_of(Path("cmmlu"), ["anatomy"])["anatomy"].name == "解剖学"
    assert subjects_of(path, ["my_own"])["my_own"] == Subject("my own")


def test_cevals_own_mapping(tmp_path: Path) -> None:
    written(tmp_path, {"subject_mapping.json": json.dumps({"law": ["Law", "法学", "Humanities"]})})
    assert subjects_of(tmp_path, ["law"])["law"] == Subject("法学", "Humanities")
    written(tmp_path, {"mapping.json": '["law"]'})
    with pytest.raises(DataError, match="no mapping of subjects"):
        subjects_of(tmp_path, ["law"])


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        (" (C)", "C"),
        ("**D**", "D"),
        ("B. Rome, Italy", "B"),
        ("A: Paris is the capital, not B.", "A"),
        ("The answer is (D).", "D"),
        ("Answer: **C**", "C"),
        ("A is wrong, since it is old; B is in Italy. Therefore the correct answer is D", "D"),
        ("The answer is A at first sight. But no: the answer is C.", "C"),
        ("so we get \\boxed{B}", "B"),
        ("$\\boxed{\\text{C}}$", "C"),
        ("答案：C", "C"),
        ("因此正确答案是（B）。", "B"),
        ("综上，选D", "D"),
        ("Rome, Italy.", "B"),
        ("I would take C, because of the tide", "C"),
        ("A city such as C", "C"),  # an article is no letter
        ("the answer is a matter of taste", None),
        ("A or B", None),
        ("nobody knows", None),
        ("E", None),
        ("", None),
    ],
)
def test_letters_in_answers(text: str, letter: str | None) -> None:
    assert letter_in(text, FOUR) == letter
