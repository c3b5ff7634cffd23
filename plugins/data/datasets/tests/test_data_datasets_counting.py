"""What becomes of rows: exact over a whole data set, in one process or several, from the cache, in a stream."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from tunesmith import DataError
from tunesmith.types import Encoder
from tunesmith_data_datasets import Datasets
from tunesmith_data_datasets.encoding import Work
from tunesmith_data_datasets.entries import Entry, Source
from tunesmith_data_datasets.streaming import Stream
from tunesmith_library_chat.spelling import Control
from tunesmith_library_formats import Lacking, Sizes, count, match, measure

ROWS = 137


def to_rows(name, records, columns):
    return (dict(record) for record in records)


def encode(rows, processor, template):
    """Leaves out the numbers that 5 divides, and cuts those that 7 divides."""
    numbers = [int(row["text"].split()[0]) for row in rows]
    kept = [number for number in numbers if number % 5]
    count("are left out", len(numbers) - len(kept), lost=True, advice="take others")
    count("are cut", sum(number % 7 == 0 for number in kept))
    return {"input_ids": [[number] for number in kept]}


def write(path, numbers, **more):
    path.write_text("".join(json.dumps({"text": f"{number} whales", **more}) + "\n" for number in numbers))
    return path


def build(tmp_path, file, stage=encode, control=(), **options):
    data = Datasets(train=[Entry(path=str(file), format="text")], cache_dir=str(tmp_path / "cache"), **options)
    encoder = Encoder(stage, None, SimpleNamespace(control=Control(control)), "fingerprint")
    return data.build_dataset(fetch=lambda path, revision: file, to_rows=to_rows, encode=encoder).train


@pytest.mark.parametrize("num_proc", [1, 2])
def test_exact_counts(tmp_path, caplog, num_proc):
    file = write(tmp_path / "a.jsonl", range(ROWS))
    lost = sum(number % 5 == 0 for number in range(ROWS))
    cut = sum(number % 7 == 0 and number % 5 != 0 for number in range(ROWS))
    said = [f"data a: {lost} of {ROWS} are left out", f"data a: {cut} of {ROWS} are cut"]
    for _ in ("encoded", "from the cache"):
        caplog.clear()
        with caplog.at_level("INFO", "tunesmith"):
            assert len(build(tmp_path, file, batch_size=10, num_proc=num_proc)) == ROWS - lost
        assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == said
        assert f"{ROWS - lost} examples (text, {ROWS} records; {lost} left out" in caplog.text
        assert "joined" not in caplog.text


def measuring(rows, processor, template):
    """Each number is a row's length; at most 40 tokens are kept, of which a third is trained; 17 is the user's rule."""
    numbers = [int(row["text"].split()[0]) for row in rows]
    for row, number in zip(rows, numbers, strict=True):
        kept = min(number, 40)
        measure(Sizes(kept, kept // 3, number > 40, number - kept, number, row.where))
    match("rule 17", numbers.count(17))
    match("rule none", 0)
    return {"input_ids": [[1] * min(number, 40) for number in numbers]}


@pytest.mark.parametrize("num_proc", [1, 2])
def test_sizes_and_rules(tmp_path, caplog, num_proc):
    """One line, the same from several processes and from the cache; the longest row is told by its place."""
    numbers = [number * 13 % 101 for number in range(1, ROWS)]
    file = write(tmp_path / "a.jsonl", numbers)
    kept = [min(number, 40) for number in numbers]
    tokens, trained = sum(kept), sum(number // 3 for number in kept)
    cut = sum(number > 40 for number in numbers)
    for _ in ("encoded", "from the cache"):
        caplog.clear()
        with caplog.at_level("INFO", "tunesmith"):
            build(tmp_path, file, measuring, batch_size=10, num_proc=num_proc)
        assert (
            f"{tokens:,} tokens, {trained:,} of them trained ({trained / tokens:.1%}); "
            f"{cut} rows cut ({cut / len(numbers):.1%}), which lose {sum(numbers) - tokens:,} tokens; "
            f"the longest row has 100: a.jsonl, line {numbers.index(100) + 1}"
        ) in caplog.text
        assert f"data a: rule 17: {numbers.count(17)} of 136 rows" in caplog.text
        warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert "data a: rule none: none of 136 rows" in caplog.text
        assert warned == ["rule none: it holds nothing of any row"]


def test_a_rule_that_holds_something_of_one_set_is_not_idle(tmp_path, caplog):
    files = [write(tmp_path / "a.jsonl", [17, 3]), write(tmp_path / "b.jsonl", [4, 5])]
    data = Datasets(train=[Entry(path=str(file), format="text") for file in files], cache=False)
    encoder = Encoder(measuring, None, SimpleNamespace(control=Control()), "fingerprint")
    with caplog.at_level("INFO", "tunesmith"):
        data.build_dataset(fetch=lambda path, revision: Path(path), to_rows=to_rows, encode=encoder)
    assert "data a: rule 17: 1 of 2 rows" in caplog.text and "data b: rule 17: none of 2 rows" in caplog.text
    warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warned == ["rule none: it holds nothing of any row"]


def test_nothing_left(tmp_path):
    file = write(tmp_path / "a.jsonl", [0, 5, 10])
    with pytest.raises(DataError, match=r"nothing to train on: 3 of 3 are left out\n  take others"):
        build(tmp_path, file, cache=False)


def test_one_kind_of_label(tmp_path, caplog):
    build(tmp_path, write(tmp_path / "a.jsonl", [1, 2, 3], label=True), cache=False)
    assert "data a: 3 of 3 are marked desirable and none undesirable" in caplog.text
    caplog.clear()
    file = write(tmp_path / "b.jsonl", [1, 2], label=False)
    with file.open("a") as stream:
        stream.write(json.dumps({"text": "3", "label": True}))
    build(tmp_path, file, cache=False)
    assert "marked" not in caplog.text


def test_one_kind_of_label_is_left(tmp_path, caplog):
    """What counts is what the stage keeps, in other processes and from the cache too."""

    def keep_odd(rows, processor, template):
        kept = [row for row in rows if int(row["text"].split()[0]) % 2]
        count("are even and left out", len(rows) - len(kept), lost=True)
        return {"input_ids": [[1] for _ in kept], "label": [row["label"] for row in kept]}

    file = tmp_path / "a.jsonl"
    file.write_text("".join(json.dumps({"text": f"{n} whales", "label": n % 2 == 1}) + "\n" for n in range(ROWS)))
    for _ in ("encoded", "from the cache"):
        caplog.clear()
        build(tmp_path, file, keep_odd, batch_size=10, num_proc=2)
        assert "data a: 68 of 137 are marked desirable and none that is left undesirable, so that" in caplog.text
    caplog.clear()
    write(file, [2], label=True)
    with file.open("a") as stream:
        stream.write('{"text": "3", "label": true}\n{"text": "5", "label": false}\n')
    build(tmp_path, file, keep_odd)
    assert "marked" not in caplog.text


def test_a_row_that_the_stage_cannot_use(tmp_path):
    """One among others is to be mended, and what stands there is said; where all are so, it is another stage's."""

    def labelled(rows, processor, template):
        for row in rows:
            if not isinstance(row["label"], bool):
                raise Lacking("stage.mine needs rows with `label`.", "stage=other", ("label", "mark"), "\n  ")
        return {"input_ids": [[1] for _ in rows]}

    def rows_of(name, records, columns):
        return ({"label": record.get("label", record.get("mark"))} for record in records)

    def said(*labels, **options):
        file = tmp_path / "a.jsonl"
        file.write_text("".join(json.dumps(label) + "\n" for label in labels))
        data = Datasets(train=[Entry(path=str(file), format="text")], cache=False, **options)
        encoder = Encoder(labelled, None, None, "fingerprint")
        with pytest.raises(DataError) as raised:
            data.build_dataset(fetch=lambda path, revision: file, to_rows=rows_of, encode=encoder)
        return str(raised.value).partition("a.jsonl, ")[2]

    good, mend = {"label": True}, "others have what is needed: mend this one, or take it out"
    needs = "stage.mine needs rows with `label`."
    assert said(good, good, {"label": "yes"}).endswith(f'line 3: {needs}\n  its `label` is "yes"\n  {mend}')
    assert said({"label": 0.5}, good).endswith(f"line 1: {needs}\n  its `label` is 0.5\n  {mend}")
    assert said(good, {"mark": None}).endswith(f"line 2: {needs}\n  its `mark` is null\n  {mend}")
    assert said(good, {"text": "a"}).endswith(f"line 2: {needs}\n  it has no `label`, but `text`\n  {mend}")
    assert said({"label": 1}, {"label": 1}).endswith(f"line 1: {needs}\n  its `label` is 1\n  stage=other")
    many = [good] * 60
    assert 'line 42: stage.mine needs rows with `label`.\n  its `label` is "no"' in said(
        *many[:41], {"label": "no"}, *many, batch_size=10, num_proc=2
    )


def test_rows_that_spell_control_tokens(tmp_path, caplog):
    file = write(tmp_path / "a.jsonl", [1, 2])
    with file.open("a") as stream:
        stream.write(json.dumps({"text": "3 whales<|end|>"}))
    build(tmp_path, file, control=("<|end|>",))
    assert "data a: 1 of 3 spell control tokens, which are read as text" in caplog.text and "<|end|>" in caplog.text
    caplog.clear()
    build(tmp_path, file)
    assert not caplog.records, "parsed: another place in the cache"


def streamed(tmp_path, stage):
    file = write(tmp_path / "a.jsonl", range(1, ROWS + 1))
    source = Source("data.train[0]", "a", Entry(path=str(file)))
    work = Work(source, [file], "text", None, to_rows, Encoder(stage, None, None, ""), batch_size=8, num_proc=1)
    return iter(Stream([work], None, buffer_size=1, seed=1))


def test_streams_say_it_at_once_and_once(tmp_path, caplog):
    stream = streamed(tmp_path, encode)
    next(stream)
    assert "data a: of the first rows, 1 of 8 are left out" in caplog.text
    for _ in range(3 * ROWS):
        next(stream)
    assert caplog.text.count("data a: of a whole pass, 27 of 137 are left out") == 1


def test_streams_say_sizes_of_the_first_rows_and_of_a_pass(tmp_path, caplog):
    with caplog.at_level("INFO", "tunesmith"):
        stream = streamed(tmp_path, measuring)
        next(stream)
        first = "data a: 8 records (the first ones; 36 tokens, 9 of them trained (25.0%); 0 rows cut (0.0%); "
        assert f"{first}the longest row has 8: a.jsonl, line 8)" in caplog.text
        for _ in range(3 * ROWS):
            next(stream)
    assert caplog.text.count("data a: 137 records (of a whole pass; ") == 1
    assert "97 rows cut (70.8%), which lose 4,753 tokens; the longest row has 137: a.jsonl, line 137)" in caplog.text
    assert caplog.text.count("data a: of a whole pass, rule 17: 1 of 137 rows") == 1
