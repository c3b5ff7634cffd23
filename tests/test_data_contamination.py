"""`tunesmith data contamination`: what it prints, its exit code, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from tunesmith import DataError, TunesmithError
from tunesmith_command_data import Data

LONG = "The whale that sings at night is heard by everyone who sails from the northern coast in winter."


def written(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def row(question: str, answer: str) -> dict[str, Any]:
    return {"instruction": question, "output": answer}


def run(*words: str) -> Result:
    return CliRunner().invoke(Data().command(), ["contamination", *words])


def test_contamination_is_told(tmp_path: Path) -> None:
    """By set, with the rows; the exit code is 1 where an example reaches the threshold."""
    train = written(tmp_path / "train.jsonl", [row("Sing!", "La la."), row("Who is heard?", LONG)])
    test = written(tmp_path / "test.jsonl", [row(LONG, "Yes."), row("今天天气很好我们一起去公园散步吧朋友们", "好")])
    table = written(tmp_path / "table.jsonl", [{"stem": LONG, "A": "never", "B": "ever"}, {"stem": "Hm?", "A": "x"}])
    told = run(train, "--eval", test, "--benchmark", table)
    assert told.exit_code == 1
    assert "row 1 of test.jsonl (line 1) in row 2 of train.jsonl: The whale" in told.output
    found = json.loads(run(train, "--eval", test, "--benchmark", table, "--json").stdout)
    assert found["training_rows"] == 2 and found["sets"]["test.jsonl"]["with_a_run"] == 1
    assert found["sets"]["table.jsonl"]["examples"] == 1 and found["sets"]["table.jsonl"]["too_short"] == 1
    assert found["sets"]["test.jsonl"]["found"][0]["training_rows"] == ["row 2 of train.jsonl"]
    assert (
        run(train, "--eval", written(tmp_path / "clean.jsonl", [row("One two three four five six", "7 8 9")])).exit_code
        == 0
    )


def test_contamination_needs_both_sides(tmp_path: Path) -> None:
    train = written(tmp_path / "train.jsonl", [row("a", "b")])
    error = run(train).exception
    assert isinstance(error, TunesmithError) and "no evaluation set is named" in str(error)


def test_what_is_not_read_is_not_called_clean(tmp_path: Path) -> None:
    """A set that ends in damage is refused; rows that no format reads are counted."""
    train, test = tmp_path / "train.jsonl", written(tmp_path / "test.jsonl", [row(LONG, "b")])
    written(train, [row("a", "b"), {"instruction": 7}])
    told = run(str(train), "--eval", test)
    assert "1 more cannot be read" in told.output
    (tmp_path / "cut.json").write_text('[{"instruction": "a", "output": "b"}, {"inst', encoding="utf-8")
    error = run(str(tmp_path / "cut.json"), "--eval", test).exception
    assert isinstance(error, DataError) and "cannot be read to its end" in str(error)
