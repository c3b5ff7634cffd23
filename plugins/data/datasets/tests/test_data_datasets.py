"""From files to encoded examples: reading, converting, caching, mixing, splitting. The stage is a stand-in of bytes."""

import gc
import json
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image
from tunesmith import DataError
from tunesmith.types import Encoder
from tunesmith_data_datasets import Datasets
from tunesmith_data_datasets.checking import option_problems
from tunesmith_data_datasets.entries import Entry
from tunesmith_library_chat import ChatTemplate
from tunesmith_library_formats import KEPT
from tunesmith_library_media.items import image_size
from tunesmith_library_testing import DataSuite
from tunesmith_library_testing.parts import ByteStage

TEMPLATE = ChatTemplate("none", "", ())


class Reversed(ByteStage):
    def __call__(self, rows, processor, template):
        columns = super().__call__(rows, processor, template)
        return {name: [values[::-1] for values in column] for name, column in columns.items()}


def fetch(address, revision=None):
    return Path(address)


def to_rows(name, records, columns):
    field = columns.get("text", "text")
    return ({"text": record[field], **{k: record[k] for k in ("images",) if k in record}} for record in records)


def build(tmp_path, *train, stage=None, fingerprint="1", processor=None, to_rows=to_rows, **options):
    entries = [
        Entry(**{"format": "text", **(item if isinstance(item, dict) else {"path": str(item)})}) for item in train
    ]
    evaluation = [Entry(**{"format": "text", **item}) for item in options.pop("eval", ())]
    plugin = Datasets(train=entries, eval=evaluation, cache_dir=str(tmp_path / "cache"), **options)
    encode = Encoder(stage or ByteStage(), processor, TEMPLATE, fingerprint)
    return plugin.build_dataset(fetch=fetch, to_rows=to_rows, encode=encode)


def texts_of(examples):
    return [bytes(examples[index]["input_ids"].tolist()).decode() for index in range(len(examples))]


def write(path, texts):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    return path


class TestDatasets(DataSuite):
    plugin = Datasets

    def options_for(self, train, folder):
        return {"train": [{"path": str(train), "format": "text"}], "cache_dir": str(folder / "cache")}


def test_cache_answers_until_something_changes(tmp_path):
    file = write(tmp_path / "a.jsonl", [f"text {i}" for i in range(100)])

    def encoded(stage=None, **changes):
        """How many rows are encoded beyond the few that the key is made of."""
        stage = stage or ByteStage()
        build(tmp_path, file, stage=stage, **changes)
        return max(stage.rows - 16, 0)

    assert [encoded(), encoded()] == [100, 0], "the second run finds the first one's"
    assert encoded(fingerprint="2") == 100, "another tokenizer, template or stage"
    assert encoded(max_samples=50) == 50, "other options of the entry"
    assert encoded(val_size=0.5) == 0, "splitting is done afterwards"
    assert encoded(to_rows=lambda n, r, c: ({"text": x["text"] * 2} for x in r)) == 100, "an edited format"
    assert encoded(stage=Reversed()) == 100, "an edited stage"
    os.utime(file, ns=(1, 1))
    assert encoded() == 0, "a touched file has the same content"
    file.write_text(file.read_text().replace("text 17", "TEXT 17"))
    os.utime(file, ns=(1, 1))
    assert encoded() == 100, "another row beyond the first 16, of the same size at the same time"
    assert not list((tmp_path / "cache").glob(".*")), "no drafts are left"


class Pictures(ByteStage):
    """Keeps the pictures of its rows."""

    def __call__(self, rows, processor, template):
        return {**super().__call__(rows, processor, template), "images": [row["images"] for row in rows]}


def test_cache_looks_at_the_media_that_examples_name(tmp_path):
    """Examples hold places of pictures: those beside another file are others, and one that changed is another."""
    folder = tmp_path / "set"
    file = write(folder / "a.jsonl", [f"text {i}" for i in range(40)])
    rows = [{**json.loads(line), "images": ["a.png"]} for line in file.read_text().splitlines()]
    file.write_text("\n".join(map(json.dumps, rows)))
    (folder / "a.png").write_bytes(b"picture")

    def encoded(place):
        """How many rows are encoded beyond the few that the key is made of, and where their pictures are."""
        stage = Pictures()
        found = build(tmp_path, place / "a.jsonl", stage=stage).train
        return stage.rows - 16, str(found[0]["images"][0])

    here = str(folder / "a.png")
    assert [encoded(folder), encoded(folder)] == [(40, here), (0, here)]
    (folder / "a.png").write_bytes(b"another picture")
    assert [encoded(folder), encoded(folder)] == [(40, here), (0, here)]
    shutil.copytree(folder, tmp_path / "copy")
    assert encoded(tmp_path / "copy") == (40, str(tmp_path / "copy" / "a.png"))


def test_what_exists_is_left_alone_while_rows_are_encoded(tmp_path):
    """The collector writes into no object that was there before, so that forked processes share all of them."""
    frozen = []

    class Watching(ByteStage):
        def __call__(self, rows, processor, template):
            frozen.append(gc.get_freeze_count())
            return super().__call__(rows, processor, template)

    before = gc.get_freeze_count()
    build(tmp_path, write(tmp_path / "a.jsonl", ["one", "two"]), stage=Watching())
    assert frozen[-1] <= before, "looking through all of it takes longer than encoding two rows"
    (tmp_path / "b.jsonl").write_text((tmp_path / "a.jsonl").read_text() + "\n" * 2**20)
    build(tmp_path, str(tmp_path / "b.jsonl"), stage=Watching())
    assert frozen[-1] > 10_000 and gc.get_freeze_count() <= before


def flipped(path):
    content = bytearray(path.read_bytes())
    for place in range(len(content) // 2, len(content) // 2 + 40):
        content[place] ^= 1
    path.write_bytes(content)


DAMAGES = {
    "flipped bytes": lambda folder: flipped(folder / "data.arrow"),
    "cut": lambda folder: os.truncate(folder / "data.arrow", 100),
    "data missing": lambda folder: (folder / "data.arrow").unlink(),
    "about missing": lambda folder: (folder / "about.json").unlink(),
    "about empty": lambda folder: (folder / "about.json").write_text(""),
    "about a list": lambda folder: (folder / "about.json").write_text("[]"),
    "about altered": lambda folder: flipped(folder / "about.json"),
    "another's data": lambda folder: (folder / "data.arrow").write_bytes(b""),
    "a file": lambda folder: (shutil.rmtree(folder), folder.write_text("")),
}


def test_damaged_cache_is_made_anew(tmp_path, caplog):
    texts = [f"text {i}" for i in range(100)]
    file = write(tmp_path / "a.jsonl", texts)
    build(tmp_path, file)
    (folder,) = (path for path in (tmp_path / "cache").iterdir() if path.is_dir())
    for name, damage in DAMAGES.items():
        damage(folder)
        caplog.clear()
        assert texts_of(build(tmp_path, file).train) == texts, name
        assert "is damaged" in caplog.text and str(folder) in caplog.text, name
        caplog.clear()
        assert texts_of(build(tmp_path, file).train) == texts and not caplog.records, name


def test_drafts_of_killed_processes_are_deleted(tmp_path, caplog):
    from filelock import FileLock

    cache = tmp_path / "cache"
    left, held = (cache / f".{letter * 32}-x1y2z3" for letter in "ab")
    for draft in (left, held):
        (draft / draft.name).mkdir(parents=True)
    with FileLock(cache / f"{'b' * 32}.lock"):
        build(tmp_path, write(tmp_path / "a.jsonl", ["one"]))
    assert not left.exists() and held.exists() and str(left) in caplog.text


def test_no_row_is_encoded_alone_that_has_others(tmp_path):
    sizes = []

    def count(rows, processor, template):
        sizes.append(len(rows))
        return ByteStage()(rows=rows, processor=processor, template=template)

    file = write(tmp_path / "a.jsonl", [str(i) for i in range(41)])
    assert len(build(tmp_path, file, stage=count, batch_size=10, cache=False, num_proc=1).train) == 41
    assert sizes == [10, 10, 10, 11]


def test_lists_that_are_all_empty_at_first(tmp_path):
    def encode(rows, processor, template):
        return {"input_ids": [[7] for _ in rows], "kl_input_ids": [[5] if row["text"] > "3" else [] for row in rows]}

    file = write(tmp_path / "a.jsonl", [str(i) for i in range(8)])
    found = build(tmp_path, file, stage=encode, batch_size=2, cache=False).train
    assert [row["kl_input_ids"].tolist() for row in found] == [[]] * 4 + [[5]] * 4


def test_interrupted_encoding_leaves_no_cache(tmp_path):
    file = write(tmp_path / "a.jsonl", ["one"])

    def fail(rows, processor, template):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(tmp_path, file, stage=fail)
    assert texts_of(build(tmp_path, file).train) == ["one"]


def test_without_cache_nothing_is_written(tmp_path):
    assert texts_of(build(tmp_path, write(tmp_path / "a.jsonl", ["one"]), cache=False).train) == ["one"]
    assert not (tmp_path / "cache").exists()


def test_several_processes_give_the_same(tmp_path):
    file = write(tmp_path / "a.jsonl", [f"{'drop' if i % 7 == 0 else 'keep'} {i}" for i in range(200)])
    splits = [build(tmp_path, file, batch_size=9, num_proc=n, cache=False).train for n in (1, 2)]
    assert texts_of(splits[0]) == texts_of(splits[1]) == [f"keep {i}" for i in range(200) if i % 7]


@pytest.mark.parametrize("num_proc", [1, 2])
def test_error_of_the_stage_names_the_data_set(tmp_path, num_proc):
    file = write(tmp_path / "a.jsonl", [str(i) for i in range(50)])

    def fail(rows, processor, template):
        if {"text": "30"} in rows:
            raise DataError("no such row")
        return ByteStage()(rows=rows, processor=processor, template=template)

    with pytest.raises(DataError, match=r"data.train\[0\] \(.*a.jsonl, format text\), a.jsonl, line 31: no such row"):
        build(tmp_path, file, stage=fail, batch_size=5, num_proc=num_proc, cache=False)


def test_real_tokenizer_in_several_processes(tmp_path, tiny_bpe):
    def encode(rows, processor, template):
        return dict(processor([row["text"] for row in rows], add_special_tokens=False))

    file = write(tmp_path / "a.jsonl", [f"Whales sing {i} 你好" for i in range(60)])
    tiny_bpe(["used", "before", "the fork"])
    options = {"stage": encode, "processor": tiny_bpe, "batch_size": 10, "cache": False}
    one, two = (build(tmp_path, file, num_proc=number, **options).train for number in (1, 2))
    wanted = [tiny_bpe.encode(f"Whales sing {i} 你好", add_special_tokens=False) for i in range(60)]
    assert [row["input_ids"].tolist() for row in one] == [row["input_ids"].tolist() for row in two] == wanted


def test_examples_are_numpy_and_indexed_in_batches(tmp_path):
    examples = build(tmp_path, write(tmp_path / "a.jsonl", ["one", "three", "five"])).train
    assert examples[0]["input_ids"].dtype == "int64" and examples[1]["labels"].shape == (5,)
    assert [bytes(row["input_ids"].tolist()) for row in examples.__getitems__([2, 0])] == [b"five", b"one"]
    assert str(examples.data.schema.field("input_ids").type) == "list<item: int32>", "ids are stored in 32 bits"


def test_nothing_to_train_on(tmp_path):
    with pytest.raises(DataError, match="no example of its 2 records"):
        build(tmp_path, write(tmp_path / "a.jsonl", ["drop", "drop"]))
    with pytest.raises(DataError, match="it has no records"):
        build(tmp_path, {"path": str(write(tmp_path / "b.jsonl", [])), "format": "text"})
    with pytest.raises(DataError, match="no training data"):
        build(tmp_path)


@pytest.mark.parametrize(("val_size", "held"), [(0.1, 10), (7, 7)])
def test_held_out_examples(tmp_path, val_size, held):
    texts = [f"text {i}" for i in range(100)]
    files = write(tmp_path / "a.jsonl", texts[:70]), write(tmp_path / "b.jsonl", texts[70:])
    splits = build(tmp_path, *files, val_size=val_size)
    train, validation = texts_of(splits.train), texts_of(splits.eval["validation"])
    assert len(validation) == held and sorted(train + validation) == sorted(texts)
    assert sum(texts.index(text) < 70 for text in validation) == round(0.7 * held), "in proportion to the sets"
    again = build(tmp_path, *files, val_size=val_size)
    assert texts_of(again.eval["validation"]) == validation
    other = build(tmp_path, *files, val_size=val_size, shuffle_seed=1)
    assert texts_of(other.eval["validation"]) != validation


@pytest.mark.parametrize("val_size", [100, 101, 0.999, 0.001])
def test_held_out_leaves_something_on_both_sides(tmp_path, val_size):
    with pytest.raises(DataError, match="too few on one side"):
        build(tmp_path, write(tmp_path / "a.jsonl", [str(i) for i in range(100)]), val_size=val_size)


def test_held_out_before_repeating(tmp_path):
    small, large = write(tmp_path / "s.jsonl", list("abcdefghij")), write(tmp_path / "l.jsonl", map(str, range(300)))
    splits = build(tmp_path, small, large, mix="interleave_over", val_size=0.2)
    assert not set(texts_of(splits.train)) & set(texts_of(splits.eval["validation"]))


def test_mixes(tmp_path):
    large = {"path": str(write(tmp_path / "l.jsonl", [f"large {i}" for i in range(3000)])), "weight": 3.0}
    small = {"path": str(write(tmp_path / "s.jsonl", [f"small {i}" for i in range(500)])), "weight": 1.0}

    def share(mix):
        texts = texts_of(build(tmp_path, large, small, mix=mix).train)
        return texts, Counter(text.split()[0] for text in texts)

    texts, count = share("concat")
    assert texts[0] == "large 0" and texts[-1] == "small 499" and len(texts) == 3500
    texts, count = share("interleave_under")
    assert count["small"] == 500 and len(set(texts)) == len(texts), "ends with the first set that is used up"
    assert abs(count["large"] / count["small"] - 3) < 0.5  # 4 standard deviations of a binomial with p = 1/4
    texts, count = share("interleave_over")
    assert len({text for text in texts if "large" in text}) == 3000 and count["small"] > 500
    assert abs(count["large"] / count["small"] - 3) < 0.4
    assert texts == share("interleave_over")[0], "the same again"


def test_evaluation_sets_by_name(tmp_path):
    train, one = write(tmp_path / "t.jsonl", ["t"]), write(tmp_path / "one.jsonl", ["1", "2", "3"])
    splits = build(
        tmp_path,
        train,
        eval=[{"path": str(one), "max_samples": 2}, {"path": str(one), "name": "all"}],
        max_samples=1,
    )
    assert {name: len(examples) for name, examples in splits.eval.items()} == {"one": 2, "all": 1}


def test_columns_and_tags_reach_the_format(tmp_path):
    seen = []

    def remember(name, records, columns):
        seen.append((name, columns))
        return to_rows(name, records, {})

    entry = {"path": str(write(tmp_path / "a.jsonl", ["x"])), "columns": {"text": "text"}, "tags": {"role_tag": "who"}}
    build(tmp_path, {**entry, "format": "sharegpt"}, to_rows=remember)
    assert seen[-1] == ("sharegpt", {"text": "text", "role_tag": "who"})
    build(tmp_path, {**entry, "format": "sharegpt", "keep": ["vote"]}, to_rows=remember)
    assert seen[-1] == ("sharegpt", {"text": "text", "role_tag": "who", KEPT + "vote": "vote"}), "not from the cache"


def test_tool_arguments_keep_their_own_keys(tmp_path):
    """Arrow would give every record the keys of all others, with null."""
    arguments = [{"beach": "north"}, {"count": 3, "deep": {"a": [1, {"b": None}]}}, {}]
    records = [
        {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": a}}]}]}
        for a in arguments
    ]
    (tmp_path / "a.json").write_text(json.dumps(records))
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, records)))
    seen = []

    def remember(name, found, columns):
        for record in found:
            seen.append(record)
            yield {"text": "x"}

    for name in ("a.json", "a.jsonl"):
        seen.clear()
        build(tmp_path, {"path": str(tmp_path / name), "format": "openai"}, to_rows=remember, cache=False)
        assert seen == records


def test_media_are_found_beside_the_file(tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(b"")
    file = tmp_path / "a.jsonl"
    file.write_text(json.dumps({"text": "x", "images": ["pictures/a.png", "http://b.png"]}))
    seen = []

    def remember(rows, processor, template):
        seen.extend(row["images"] for row in rows)
        return ByteStage()(rows, processor, template)

    build(tmp_path, file, stage=remember, cache=False)
    assert seen == [[str(tmp_path / "pictures" / "a.png"), "http://b.png"]]


def test_media_are_found_in_a_folder_of_their_own(tmp_path):
    """Before those beside the file, in all the shapes that items have; another folder makes other examples."""
    for place in ("set/a.png", "set/own.png", "pictures/a.png", "others/a.png"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_bytes(b"")
    items = ["a.png", {"path": "a.png", "bytes": None}, ["a.png", "own.png"], "own.png", "none.png"]
    file = tmp_path / "set" / "a.jsonl"
    file.write_text("\n".join(json.dumps({"text": f"text {i}", "images": items}) for i in range(3)))
    seen = []

    class Remember(ByteStage):
        def __call__(self, rows, processor, template):
            seen.extend(row["images"] for row in rows)
            images = [[{"path": item, "bytes": None} for item in row["images"][:1]] for row in rows]
            return {**super().__call__(rows, processor, template), "images": images}

    def first(folder):
        found = build(tmp_path, {"path": str(file), "media_dir": str(tmp_path / folder)}, stage=Remember()).train
        return found[0]["images"][0]["path"]

    a, own = str(tmp_path / "pictures" / "a.png"), str(tmp_path / "set" / "own.png")
    assert first("pictures") == a
    assert seen[0] == [a, {"path": a, "bytes": None}, [a, own], own, "none.png"]
    assert first("others") == str(tmp_path / "others" / "a.png")
    with pytest.raises(DataError, match=r"media_dir=.*none: there is no such folder"):
        first("none")
    registry = tmp_path / "sets.yaml"
    registry.write_text("mine: {path: set/a.jsonl, media_dir: others}")
    build(tmp_path, "mine", stage=Remember(), registry=str(registry))
    assert seen[-1][0] == str(tmp_path / "others" / "a.png")


def test_boxes_in_pixels_are_told_to_the_stage_and_make_other_examples(tmp_path):
    file, seen = write(tmp_path / "a.jsonl", ["one", "two"]), []

    def remember(rows, processor, template):
        seen.append([row.get("boxes") for row in rows])
        return ByteStage()(rows, processor, template)

    for boxes, passed in (("written", None), ("pixels", "pixels")):
        seen.clear()
        build(tmp_path, {"path": str(file), "boxes": boxes}, stage=remember)
        assert seen[-1] == [passed] * 2


def test_media_stand_where_texts_show_them_and_bad_rows_are_named(tmp_path):
    """Marks become parts, what parts carry is found beside the file, and a fault has its row and its file."""
    Image.new("RGB", (6, 4)).save(tmp_path / "a.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "a.png").read_bytes()[:-30])
    good = [
        {"messages": [{"role": "user", "content": "<image>What?"}], "images": ["a.png"]},
        {"messages": [{"role": "user", "content": [{"type": "image", "image": "a.png"}]}]},
        {"messages": [{"role": "user", "content": "none"}]},
    ]
    seen = []

    class Look(ByteStage):
        def __call__(self, rows, processor, template):
            for row in rows:
                seen.append((row["messages"][0]["content"], [image_size(item) for item in row.get("images", ())]))
            return super().__call__([{"text": "x"} for _ in rows], processor, template)

    def build_of(*rows):
        write_rows = "\n".join(json.dumps(row) for row in rows)
        (tmp_path / "a.jsonl").write_text(write_rows)
        seen.clear()
        build(tmp_path, tmp_path / "a.jsonl", stage=Look(), to_rows=lambda name, records, columns: records, cache=False)

    build_of(*good)
    image = {"type": "image"}
    assert seen == [([image, {"type": "text", "text": "What?"}], [(6, 4)]), ([image], [(6, 4)]), ("none", [])]
    for images, said in (
        (["cut.png"], r"a\.jsonl, line 2: image .*cut\.png: it is no image, or broken"),
        (["gone.png"], r"a\.jsonl, line 2: image gone\.png: there is no such file"),
        (["a.png", "a.png"], r"a\.jsonl: line 2: the row has 1 × <image> for 2 images"),
    ):
        with pytest.raises(DataError, match=rf"(?s){said}.*\n  tunesmith data check .*a\.jsonl --fix"):
            build_of(good[0], {**good[0], "images": images})


def test_data_sets_on_a_hub_are_asked_for_as_data_sets(tmp_path):
    write(tmp_path / "hub" / "train.jsonl", ["x"])
    asked = []

    def remember(address, revision=None):
        asked.append((address, revision))
        return tmp_path / "hub"

    entry = Entry(path="org/name", format="text", revision="v1")
    plugin = Datasets(train=[entry, Entry(path="s3://bucket/key", format="text")], cache=False)
    plugin.build_dataset(fetch=remember, to_rows=to_rows, encode=Encoder(ByteStage(), None, TEMPLATE, "1"))
    assert asked == [("huggingface://datasets/org/name", "v1"), ("s3://bucket/key", None)]


class Texts:
    """A format by its column alone."""

    @staticmethod
    def looks_like(record):
        return "text" in record


class Questions:
    @staticmethod
    def looks_like(record):
        return "question" in record


def test_the_format_of_a_hub_data_set_is_told_when_it_is_there(tmp_path, caplog):
    write(tmp_path / "hub" / "train.jsonl", ["x", "y"])
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "train.jsonl").write_text('{"weather": "fair"}')
    entry, formats = Entry(path="org/name"), {"other": Questions, "plain": Texts, "silent": object}
    plugin = Datasets(train=[entry], cache=False)
    plugin._installed = lambda: formats
    needed = plugin.requires(lambda kind: formats)
    assert [(one.kind, one.name) for one in needed] == [("hub", "org/name"), ("format", "other"), ("format", "plain")]
    asked = []

    def converted(name, records, columns):
        asked.append(name)
        return to_rows(name, records, columns)

    encode = Encoder(ByteStage(), None, TEMPLATE, "1")
    with caplog.at_level("INFO"):
        found = plugin.build_dataset(fetch=lambda *a, **k: tmp_path / "hub", to_rows=converted, encode=encode)
    assert texts_of(found.train) == ["x", "y"] and set(asked) == {"plain"}
    assert "data.train[0].format: plain (by text)" in caplog.text
    plugin = Datasets(train=[entry], cache=False)
    plugin._installed = lambda: formats
    told = r"org/name is of no known format; found: weather\n  write data\.train\[0\]\.format"
    with pytest.raises(DataError, match=told):
        plugin.build_dataset(fetch=lambda *a, **k: tmp_path / "odd", to_rows=converted, encode=encode)


@pytest.mark.real
def test_real_conversations_with_the_formats(tmp_path, real_files: Path):
    """Every text set is read as a data set of its own; Python's json is the reference."""
    data = real_files / "data"
    for name in ("alpaca_en_demo", "glaive_toolcall_en_demo", "dpo_en_demo", "kto_en_demo", "identity"):
        records = json.loads((data / f"{name}.json").read_text(encoding="utf-8"))
        texts = texts_of(
            build(
                tmp_path,
                {"path": str(data / f"{name}.json"), "format": "text"},
                to_rows=lambda n, found, c: ({"text": json.dumps(record)} for record in found),
            ).train
        )
        assert [json.loads(text) for text in texts] == records
    assert len(build(tmp_path, data / "wiki_demo.txt").train) == 30
    whole = {"path": str(data / "wiki_demo.txt"), "sample_by": "document"}
    assert texts_of(build(tmp_path, whole).train) == [(data / "wiki_demo.txt").read_bytes().decode()]


def names_of(examples):
    return [str(examples[index]["dataset"]) for index in range(len(examples))]


def test_examples_say_of_which_set_they_are(tmp_path):
    """With several training sets, through mixing and splitting; what is held out says it too."""
    sets = [write(tmp_path / f"{name}.jsonl", [f"{name} {i}" for i in range(count)]) for name, count in SIZES.items()]
    for mix in ("concat", "interleave_over"):
        splits = build(tmp_path, *sets, mix=mix, val_size=6, eval=[{"path": str(sets[0])}])
        for examples in (splits.train, splits.eval["validation"]):
            assert names_of(examples) == [text.partition(" ")[0] for text in texts_of(examples)]
        assert set(names_of(splits.train)) == set(SIZES)
        assert "dataset" not in splits.eval["tides"][0], "an evaluation set is measured by itself anyway"


SIZES = {"tides": 12, "whales": 6}


def test_one_set_needs_no_name(tmp_path):
    file = write(tmp_path / "a.jsonl", ["one", "two"])
    assert "dataset" not in build(tmp_path, file).train[0]
    other = write(tmp_path / "other" / "a.jsonl", ["three"])
    assert "dataset" not in build(tmp_path, file, other).train[0], "sets of one name are one"
    assert names_of(build(tmp_path, file, {"path": str(other), "name": "b"}).train) == ["a", "a", "b"]


def test_a_column_of_the_stage_stays(tmp_path):
    def encode(rows, processor, template):
        return {"input_ids": [[1] for row in rows], "dataset": ["theirs" for row in rows]}

    files = [write(tmp_path / f"{name}.jsonl", ["one"]) for name in "ab"]
    assert names_of(build(tmp_path, *files, stage=encode).train) == ["theirs", "theirs"]


@pytest.mark.parametrize(("name", "number"), [("_made", 28), ("FileLock", 30), ("_remove_leftovers", 13)])
def test_a_cache_that_cannot_be_written_is_done_without(name, number, tmp_path, monkeypatch, caplog):
    """Full in the middle of it, or read-only from the start: the data is encoded in memory, and it is said why."""
    import filelock
    from tunesmith_data_datasets import caching

    def fail(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(filelock if name == "FileLock" else caching, name, fail)
    data = build(tmp_path, write(tmp_path / "a.jsonl", ["x", "y"]))
    assert texts_of(data.train) == ["x", "y"]
    told = f"is encoded for this run only: {tmp_path / 'cache'} cannot be written: {os.strerror(number)}"
    assert told in caplog.text
    assert ("are free in" in caplog.text) == (number == 28), "what is free tells something of a full disk alone"


def test_a_cache_that_cannot_be_is_a_warning_of_the_plan(tmp_path):
    link = tmp_path / "cache"
    link.symlink_to(tmp_path / "gone")
    (problem,) = option_problems(Datasets(cache_dir=str(link)), [])
    assert (problem.key, problem.severity) == ("data.cache_dir", "warning")
    assert f"{link} is a link to {tmp_path / 'gone'}, which is not there" in problem.message
    assert "data.cache_dir=FOLDER" in problem.advice
    assert not option_problems(Datasets(cache_dir=str(tmp_path)), [])
    assert not option_problems(Datasets(cache_dir=str(link), cache=False), [])


def test_what_the_training_data_is_made_of(tmp_path):
    """The contents of its files count, not where they stand or when they were written; of a stream sizes and times."""
    file = write(tmp_path / "a.jsonl", [f"text {i}" for i in range(40)])
    first = build(tmp_path, file).fingerprint
    moved = tmp_path / "elsewhere" / "a.jsonl"
    moved.parent.mkdir()
    shutil.copy(file, moved)
    assert first and build(tmp_path, moved, cache=False).fingerprint == first
    times = file.stat()
    file.write_text(file.read_text().replace("text 17", "text 71"))
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert build(tmp_path, file).fingerprint != first
    assert build(tmp_path, moved, file).fingerprint != build(tmp_path, file, moved).fingerprint
    assert (
        build(tmp_path, moved, streaming=True).fingerprint == build(tmp_path, moved, streaming=True).fingerprint != ""
    )


@pytest.mark.parametrize("mix", ["concat", "interleave_over"])
def test_sets_of_other_columns(tmp_path, mix):
    """What only one set has is null in the others; empty lists, and nulls inside of mappings, go with numbers."""

    def encode(rows, processor, template):
        made = [json.loads(row["text"]) for row in rows]
        return {name: [one[name] for one in made] for name in made[0]}

    sets = [
        [{"input_ids": [1, 2], "weights": [0.5, 1.0], "spans": []}, {"input_ids": [3], "weights": [], "spans": []}],
        [{"input_ids": [4], "spans": [7]}, {"input_ids": [5], "spans": []}],
        [{"input_ids": [6], "media": {"a": None, "b": [1]}}, {"input_ids": [7], "media": None}],
    ]
    files = [write(tmp_path / f"{number}.jsonl", map(json.dumps, made)) for number, made in enumerate(sets)]
    found = build(tmp_path, *files, stage=encode, mix=mix).train.with_format(None)
    by_first = {row["input_ids"][0]: row for row in found}
    assert sorted(by_first) == [1, 3, 4, 5, 6, 7]
    names = ("weights", "spans", "media", "dataset")
    assert [[by_first[first][name] for name in names] for first in sorted(by_first)] == [
        [[0.5, 1.0], [], None, "0"],
        [[], [], None, "0"],
        [None, [7], None, "1"],
        [None, [], None, "1"],
        [None, None, {"a": None, "b": [1]}, "2"],
        [None, None, None, "2"],
    ]
