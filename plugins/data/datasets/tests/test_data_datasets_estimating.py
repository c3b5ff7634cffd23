"""How much is trained on, by a plan: exact where it was encoded before, else a guess that says so."""

import json
import math
import os
import random
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from transformers import AutoTokenizer
from tunesmith.catalog import Entry as Address
from tunesmith.planning import Plan, RunOptions, Selected
from tunesmith.types import Encoder
from tunesmith_data_datasets import Datasets
from tunesmith_data_datasets.entries import Entry
from tunesmith_data_datasets.looking import look_into, most_tokens_in, tokens_in
from tunesmith_library_chat.spelling import Control
from tunesmith_library_configuration.fingerprints import options_of
from tunesmith_library_estimates.estimation import Estimate


@dataclass
class Stage:
    max_length: int = 100
    packing: bool = False


def plan_of(stage):
    return Plan("train", RunOptions(), (Selected(Address("stage", "sft"), stage),), {})


def write(path, numbers):
    path.write_text("".join(json.dumps({"text": "word " * number}) + "\n" for number in numbers))
    return path


def options(tmp_path, *files, **more):
    entries = [Entry(path=str(file), format="text") for file in files]
    return Datasets(train=entries, **{"cache_dir": str(tmp_path / "cache"), **more})


def encode(data, stage, **parts):
    """As a run does: each word is a token, and of two sequences the second has one."""

    def tokens(rows, processor, template):
        lengths = [min(row["text"].count("word"), stage.max_length) for row in rows]
        return {"input_ids": [[1] * length for length in lengths], "other_input_ids": [[1]] * len(rows)}

    parts = {"options of stage.sft": options_of(stage), **parts}
    encoder = Encoder(tokens, None, SimpleNamespace(control=Control(())), "fingerprint", parts)
    rows = lambda name, records, columns: (dict(record) for record in records)  # noqa: E731  # short
    data.build_dataset(fetch=lambda path, revision: Path(path), to_rows=rows, encode=encoder)


def extent(data, stage=None):
    return data.estimate(estimate=Estimate("fp32"), plan=plan_of(stage or Stage())).data


def test_encoded_data_are_known_exactly(tmp_path):
    numbers = [random.Random(1).randrange(1, 150) for _ in range(700)]
    file, stage = write(tmp_path / "a.jsonl", numbers), Stage()
    data = options(tmp_path, file, val_size=0.1)
    encode(data, stage)
    lengths = sorted((min(number, 100) + 1 for number in numbers), reverse=True)
    found = extent(data)
    assert (found.examples, found.held_out) == (630, 70)
    assert found.tokens == pytest.approx(sum(lengths) / 700) and list(found.longest) == lengths[:256]
    assert found.encoded and found.source == "encoded before"
    assert len(found.spread) == 256 and sum(found.spread) / 256 == pytest.approx(found.tokens, rel=0.02)
    made = data.estimate(estimate=Estimate("fp32"), plan=plan_of(stage))
    assert made.disk["encoded data"] == sum(path.stat().st_size for path in tmp_path.glob("cache/*/data.arrow"))


@pytest.mark.parametrize("other", ["option of the stage", "option of the data", "file"])
def test_what_was_encoded_otherwise_does_not_count(tmp_path, other):
    file = write(tmp_path / "a.jsonl", range(1, 20))
    data = options(tmp_path, file)
    encode(data, Stage())
    assert extent(data).encoded
    if other == "file":
        os.utime(file, ns=(1, 1))
    stage = Stage(50 if other == "option of the stage" else 100)
    data = options(tmp_path, file, max_samples=5) if other == "option of the data" else data
    found = extent(data, stage)
    assert not found.encoded and not found.longest and "guessed" in found.source
    assert found.examples == (5 if other == "option of the data" else 19)


def test_files_are_guessed_from(tmp_path):
    """Counts are of the files, tokens of their first records; an example has no more than the stage takes."""
    lines = write(tmp_path / "a.jsonl", [10] * 1000)
    listed = tmp_path / "b.json"
    listed.write_text(json.dumps([{"text": "word " * 400, "more": {"text": '"text":'}}] * 300, indent=1))
    table = tmp_path / "c.csv"
    table.write_text("text,id\n" + "some words,1\n" * 50)
    assert look_into([lines], Entry(path="a"), None).records == 1000
    assert look_into([listed], Entry(path="b"), 64) == look_into([listed], Entry(path="b"), 64)
    assert look_into([listed], Entry(path="b"), 64).records == 300
    assert look_into([listed], Entry(path="b"), 64).tokens == 64
    assert look_into([table], Entry(path="c"), None).records == 50
    found = extent(options(tmp_path, lines, listed, table, val_size=100))
    assert (found.examples, found.held_out) == (1250, 100)


@dataclass
class Template:
    default_system: str | None = None


def test_what_another_template_encoded_does_not_count(tmp_path):
    data, stage, template = options(tmp_path, write(tmp_path / "a.jsonl", range(1, 20))), Stage(), Template()
    encode(data, stage, **{"options of template.auto": options_of(template)})
    for name, exact in (("auto", True), ("qwen", False)):
        selected = (Selected(Address("stage", "sft"), stage), Selected(Address("template", name), template))
        plan = Plan("train", RunOptions(), selected, {})
        assert data.estimate(estimate=Estimate("fp32"), plan=plan).data.encoded == exact


def test_texts_of_small_files_tell_how_long_examples_are_at_most(tmp_path):
    """Memory is not that of the longest sequences allowed then; media, tools and large files do not tell."""
    short, long = write(tmp_path / "a.jsonl", [10] * 40), write(tmp_path / "b.jsonl", [10, 400])
    found = extent(options(tmp_path, short, val_size=0.1), Stage(2048))
    assert not found.encoded and not found.longest and len(found.most) == 40
    assert max(look_into([short], Entry(path="a"), None).spread) < found.most[0] < 100
    held = options(tmp_path, short, eval=[Entry(path=str(long), format="text")])
    assert extent(held, Stage(2048)).most[0] > 900 + extent(held, Stage(2048)).most[1]
    assert not extent(options(tmp_path, short), Stage(100, packing=True)).most
    for more in (
        {"images": ["a.png"]},
        {"text": "<image> what is it?"},
        {"messages": [{"tool_calls": [{"name": "f"}]}]},
    ):
        assert most_tokens_in({"text": "word", "image": None}) == 64 + 8 + 2 and most_tokens_in(more) is None
    assert most_tokens_in({"text": "机器学习"}) == 64 + 8 + 10
    assert most_tokens_in({"text": "no 12345"}) == 64 + 8 + math.ceil((8 + 5) / 2)
    many = write(tmp_path / "c.jsonl", [1] * 5001)
    assert not extent(options(tmp_path, many)).most and not extent(options(tmp_path, short, many)).most


def test_what_is_packed_is_fewer_rows(tmp_path):
    """Records of 24 tokens, 12 of them the template's, in rows of 100."""
    found = extent(options(tmp_path, write(tmp_path / "a.jsonl", [10] * 1000)), Stage(100, packing=True))
    assert found.tokens == 100 and found.examples == pytest.approx(1000 * (12 + 50 / 4.2) / 100, rel=0.01)


def test_a_large_file_is_counted_by_blocks(tmp_path):
    file = tmp_path / "large.jsonl"
    line = json.dumps({"text": "x" * 980}) + "\n"
    with file.open("w") as opened:
        for _ in range(80):
            opened.write(line * 1024)
    assert look_into([file], Entry(path="a"), None).records == pytest.approx(80 * 1024, rel=0.01)


def test_scripts_have_their_characters_to_a_token():
    """Chinese has more than one token for two characters, English less than one for three."""
    assert 0.4 < tokens_in({"text": "机器学习" * 250}) / 1000 < 1
    assert 0.2 < tokens_in({"text": "word " * 200}) / 1000 < 0.34


def test_mixing(tmp_path):
    files = [write(tmp_path / f"{name}.jsonl", [10] * size) for name, size in (("a", 100), ("b", 300))]
    for mix, examples in (("concat", 400), ("interleave_under", 200), ("interleave_over", 600)):
        assert extent(options(tmp_path, *files, mix=mix)).examples == examples
    assert extent(options(tmp_path, *files, streaming=True)).examples is None


def test_what_is_not_here_is_said(tmp_path):
    data = Datasets(train=[Entry(path="org/name", format="text")], cache_dir=str(tmp_path / "cache"))
    made = data.estimate(estimate=Estimate("fp32"), plan=plan_of(Stage()))
    assert made.data.examples is None and "name is only known once it is read" in made.unknown[-1]


@pytest.mark.real
@pytest.mark.parametrize("name", ["llama2", "llama3", "mistral", "qwen"])
def test_no_script_has_more_tokens_than_at_most(real_files, name):
    """Of real tokenizers with 32,000 words and more, some of which know few scripts."""
    tokenizer = AutoTokenizer.from_pretrained(real_files / "tokenizers" / name)
    texts = [
        "The quick brown fox jumps over the lazy dog. " * 20,
        "3.14159 26535 89793 23846 26433 " * 20,
        "def f(x):\n    return {k: v[0] for k, v in x.items() if k != '_'}\n" * 20,
        "机器学习模型训练龘靐齉 " * 20,
        "สวัสดีครับ ยินดีต้อนรับ " * 20,
        "मशीन लर्निंग मॉडल " * 20,
        "Машинное обучение и модели " * 20,
        "שלום עולם مرحبا بالعالم " * 20,
        "👩‍👩‍👧‍👦🏳️‍🌈🤖 " * 20,
        "Größe, naïve façade, smørrebrød " * 20,
    ]
    for text in texts:
        assert len(tokenizer(text, add_special_tokens=False)["input_ids"]) <= most_tokens_in({"text": text}), text
