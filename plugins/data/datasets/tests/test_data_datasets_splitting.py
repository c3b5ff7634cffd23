"""Holding out by a column: all records of a value on one side, which stays whatever else is in the file."""

import json
from pathlib import Path

import pytest
from tunesmith import DataError
from tunesmith.types import Encoder
from tunesmith_data_datasets import Datasets
from tunesmith_data_datasets.checking import option_problems, problems_of
from tunesmith_data_datasets.entries import Entry, Source
from tunesmith_data_datasets.splitting import Side
from tunesmith_library_chat import ChatTemplate
from tunesmith_library_testing.parts import StubPlan


class Joins:
    """Texts as bytes, two of them an example, as stages do that pack."""

    def __init__(self, size):
        self.size = size

    def __call__(self, rows, processor, template):
        texts = [" ".join(row["text"] for row in rows[at : at + self.size]) for at in range(0, len(rows), self.size)]
        ids = [list(text.encode()) for text in texts]
        return {"input_ids": ids, "labels": ids}


def write(path, users, extra=()):
    records = [{"text": f"{user}-{number}", "user": user} for number in range(4) for user in [*users, *extra]]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def build(tmp_path, *paths, size=1, **options):
    """Which texts are on either side."""
    plugin = Datasets(
        train=[Entry(path=path, format="text") for path in paths],
        cache_dir=str(tmp_path / "cache"),
        **{"val_size": 0.3, "split_by": "user", **options},
    )
    splits = plugin.build_dataset(
        fetch=lambda address, revision=None: Path(address),
        to_rows=lambda name, records, columns: ({"text": record["text"]} for record in records),
        encode=Encoder(Joins(size), None, ChatTemplate("none", "", ()), "1"),
    )
    return [
        {text for row in range(len(side)) for text in bytes(side[row]["input_ids"].tolist()).decode().split()}
        for side in (splits.train, splits.eval["validation"])
    ]


def users_of(texts):
    return {text.partition("-")[0] for text in texts}


def test_sides(tmp_path):
    users = [f"user{number}" for number in range(200)]
    paths = write(tmp_path / "a.jsonl", users), write(tmp_path / "b.jsonl", users[:50])
    train, held = build(tmp_path, *paths)
    assert not users_of(train) & users_of(held) and len(train) + len(held) == 800
    assert 35 <= len(users_of(held)) <= 85  # four standard deviations about 60
    again = build(tmp_path, write(tmp_path / "a.jsonl", users[::-1], ["new", "newer"]), paths[1], size=2)
    assert users_of(again[1]) - {"new", "newer"} == users_of(held), "where it stands and what else is there is nothing"
    assert not users_of(again[0]) & users_of(again[1]), "what joins records joins those of one side"
    asked = {share: {user for user in users if Side("user", share, 42, True).holds(user)} for share in (0.3, 0.5)}
    assert asked[0.5] > asked[0.3] == users_of(held), "a larger share adds values"
    assert {user for user in users if Side("user", 0.3, 1, True).holds(user)} != asked[0.3]


def test_sides_are_kept_apart(tmp_path):
    """In the cache, also those of another share whose first rows are the same."""
    users = [f"user{number}" for number in range(60)]
    path = write(tmp_path / "a.jsonl", users)
    wanted = [{user for user in users if Side("user", share, 42, True).holds(user)} for share in (0.3, 0.36)]
    assert wanted[0] < wanted[1] and sorted(wanted[1] - wanted[0])[0] not in users[:16]
    for share, held in zip((0.3, 0.36), wanted, strict=True):
        assert users_of(build(tmp_path, path, val_size=share)[1]) == held


def test_values_of_any_kind(tmp_path, caplog):
    path = tmp_path / "a.jsonl"
    values = [1, 1.5, "one", None, [1, {"b": 2}], {"x": 1}, True] * 3 + list(range(40))
    path.write_text("".join(json.dumps({"text": f"t{n}", "user": value}) + "\n" for n, value in enumerate(values)))
    train, held = build(tmp_path, str(path), val_size=0.5)
    side = {text: text in held for text in train | held}
    for value in range(7):
        assert len({side[f"t{value + 7 * again}"] for again in range(3)}) == 1
    said = [line for line in caplog.messages if "have no value in `user` and are not held out" in line]
    assert not side["t3"] and len(said) == 1 and "3 of " in said[0] and "the first is a.jsonl, line 4" in said[0]


def test_a_value_is_the_same_in_files_of_every_kind(tmp_path, caplog):
    """A number in one, a text in another, and with a point where a table has it among missing ones."""
    ids = range(30)
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": f"{n}-a", "user": n}) + "\n" for n in ids))
    rows = "".join(json.dumps({"text": f"{n}-b", "user": float(n)}) + "\n" for n in ids)
    (tmp_path / "b.jsonl").write_text(
        json.dumps({"text": "none-b"}) + "\n" + rows + '{"text": "null-b", "user": null}\n'
    )
    (tmp_path / "c.csv").write_text("text,user\n" + "".join(f"{n}-c,{n}\n" for n in ids) + "empty-c,\n")
    train, held = build(tmp_path, *map(str, sorted(tmp_path.glob("*.*"))), val_size=0.4)
    assert not users_of(train) & users_of(held) and len(users_of(held)) > 4
    assert {"none-b", "null-b", "empty-c"} <= train
    assert sum("have no value in `user`" in line for line in caplog.messages) == 2


def test_first_records(tmp_path):
    """Of both sides together."""
    path = write(tmp_path / "a.jsonl", [f"user{number}" for number in range(30)])
    train, held = build(tmp_path, path, max_samples=40)
    assert len(train) + len(held) == 40 and len(held) > 3


def test_what_is_wrong(tmp_path):
    path = write(tmp_path / "a.jsonl", ["only"])
    with pytest.raises(DataError, match=r"data\.split_by=user: no value of it is held out"):
        build(tmp_path, path, val_size=0.0001)
    with pytest.raises(
        DataError, match=r"data\.train\[0\].*a\.jsonl.*of its first 4 records none has `usr`(?s:.*)did you mean user"
    ):
        build(tmp_path, path, split_by="usr")
    for options, key in (({}, "data.split_by"), ({"val_size": 3}, "data.val_size")):
        (problem,) = option_problems(Datasets(split_by="user", cache=False, **options), [])
        assert str(problem.key) == key
    source = Source("data.train[0]", "a", Entry(path=path, format="text"))
    found = list(problems_of(source, StubPlan({}, "train", {"data.split_by": "usr"}), "huggingface"))
    assert [str(problem.key) for problem in found if "no such column" in problem.message] == ["data.split_by"]
