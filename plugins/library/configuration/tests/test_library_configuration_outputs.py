"""Files that plugins write into a run's folder."""

from dataclasses import dataclass
from typing import Annotated

from tunesmith_library_configuration.keys import Key
from tunesmith_library_configuration.outputs import files_of, misplaced_problems, shared_problems
from tunesmith_library_configuration.texts import file_in_run, folder_in_run


@dataclass
class Curves:
    file: Annotated[str, file_in_run] = "loss.png"  # written
    more: Annotated[list[str], file_in_run] | None = None  # written too
    project: str = "same"  # no file


@dataclass
class Traces:
    folder: Annotated[str, folder_in_run] = "traces"


FIRST, SECOND = Key("tracker", "first"), Key("tracker", "my.py:Second")


def test_two_that_write_one_file():
    """Whatever the case of letters, in lists too, of one thing or of two; other texts may be the same."""
    files = files_of({FIRST: Curves(), SECOND: Curves("LOSS.png", ["a.csv"]), Key("stage"): None}, {})
    assert files == {FIRST / "file": "loss.png", SECOND / "file": "LOSS.png", SECOND / "more" / 0: "a.csv"}
    (problem,) = shared_problems(files, {SECOND / "file": "command line"})
    assert problem.key == SECOND / "file"
    assert problem.message == (
        "tracker.my.py:Second.file and tracker.first.file name one file, LOSS.png: each would write over the other."
    )
    assert problem.advice == "give one of them another name: tracker.my.py:Second.file=LOSS-2.png"
    taken = files_of({FIRST: Curves("a.csv", ["a.csv", "a-2.csv"])}, {})
    assert [problem.advice.rpartition("=")[2] for problem in shared_problems(taken, {})] == ["a-3.csv"]
    assert shared_problems(files_of({FIRST: Curves(), SECOND: Curves("b.png")}, {}), {}) == []


def test_a_file_that_no_option_names_counts_by_what_is_said_of_it():
    said = {FIRST: "Loss.png", SECOND: "metrics.jsonl", Key("tracker", "third"): "metrics.jsonl"}
    files = files_of({FIRST: Curves(), SECOND: Curves("x.png")}, said)
    assert FIRST not in files, "it is the one of its option"
    (problem,) = shared_problems(files, {})
    assert "metrics.jsonl" in problem.message


def test_what_stands_where_the_run_has_something_else(tmp_path):
    for name in ("checkpoint-4", "checkpoint-x", "loss.svg"):
        (tmp_path / name).touch()
    for name in ("checkpoint-2", "loss.png"):
        (tmp_path / name).mkdir()
    found = misplaced_problems(tmp_path, {FIRST / "file": "loss.png", SECOND / "file": "loss.svg"})
    assert [problem.message for problem in found] == [
        f"{tmp_path / 'checkpoint-4'} is a file, where the run keeps a checkpoint.",
        f"{tmp_path / 'loss.png'} is a folder, where the run writes a file.",
    ]


def test_folders_of_a_run_that_goes_on_may_be_there(tmp_path):
    """A file in their place may not, and a file of another may not be called like one."""
    files = files_of({FIRST: Traces()}, {})
    (tmp_path / "traces").mkdir()
    assert misplaced_problems(tmp_path, files) == []
    (tmp_path / "traces").rmdir()
    (tmp_path / "traces").touch()
    (problem,) = misplaced_problems(tmp_path, files)
    assert problem.message == f"{tmp_path / 'traces'} is a file, where the run writes a folder."
    (problem,) = shared_problems(files_of({FIRST: Traces(), SECOND: Curves("Traces")}, {}), {})
    assert problem.advice == "give one of them another name: tracker.first.folder=traces-2"
