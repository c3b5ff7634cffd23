"""`tunesmith data encode`: what the key of encoded data is of; a training run finds what was encoded before."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import tunesmith
from click.testing import CliRunner
from tunesmith.assemble import assemble
from tunesmith.compose import compose
from tunesmith.pipeline import encoded_data, model_source, reader_of
from tunesmith_command_data import Data
from tunesmith_command_data.encoded import encode
from tunesmith_command_data.spreading import encode_spread, spreader_of
from tunesmith_library_caching import data_files, read_about
from tunesmith_library_configuration import fingerprints


@pytest.fixture(scope="module")
def reader(tiny_llama, tmp_path_factory):
    """A model's folder without its weights."""
    folder = tmp_path_factory.mktemp("reader") / "model"
    shutil.copytree(tiny_llama, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    return folder


def rows_of(file: Path, count: int = 40) -> Path:
    rows = [
        {"instruction": f"what is {i}?", "output": f"it is {i}", "system": f"be {i}", "other": f"no {i}"}
        for i in range(count)
    ]
    file.write_text("\n".join(map(json.dumps, rows)))
    return file


def config_of(folder: Path, reader: Path, **entry) -> dict:
    file = folder / "rows.jsonl"
    if not file.exists():
        rows_of(file)
    return {
        "model": {"path": str(reader)},
        "template": "chatml",
        "data": {"train": [{"path": str(file), "format": "alpaca", **entry}], "cache_dir": str(folder / "cache")},
    }


def key(config: dict, **overrides) -> str:
    """The name under which the first training set is kept."""
    return encode(config, {name.replace("__", "."): value for name, value in overrides.items()})[-1].name


def edited(file: Path, old: str, new: str) -> None:
    """Change a file, of which size and time stay."""
    stamp = file.stat().st_mtime_ns
    text = file.read_text()
    assert old in text and len(old) == len(new)
    file.write_text(text.replace(old, new))
    os.utime(file, ns=(stamp, stamp))


MATTERS = {
    "another column": {"data.train": [{"path": "ROWS", "format": "alpaca", "columns": {"response": "other"}}]},
    "fewer records": {"data.max_samples": 20},
    "another format and stage": {
        "data.train": [{"path": "ROWS", "format": "text", "columns": {"text": "output"}}],
        "stage": "pretrain",
    },
    "stage.max_length": {"stage.max_length": 77},
    "stage.train_on_prompt": {"stage.train_on_prompt": True},
    "stage.packing": {"stage.packing": True},
    "another template": {"template": "llama3"},
    "template.default_system": {"template.default_system": "Be kind."},
    "control tokens of the data": {"data.special_tokens": "parse"},
    "rows that are encoded together": {"data.batch_size": 7},
}

NOTHING = {
    "precision": {"precision": "fp32"},
    "output_dir": {"output_dir": "elsewhere"},
    "seed": {"seed": 7},
    "trainer": {"trainer.learning_rate": 1.0, "trainer.per_device_train_batch_size": 3, "trainer.num_train_epochs": 9},
    "adapter": {"adapter": "full"},
    "adapter.rank": {"adapter.rank": 64},
    "optimizer": {"optimizer": "muon"},
    "trackers": {"tracker": []},
    "quantizer": {"quantizer": "hqq"},
    "loss": {"loss": "dft"},
    "stage.loss_chunk_size": {"stage.loss_chunk_size": 512},
    "model.attention": {"model.attention": "eager"},
    "processes": {"data.num_proc": 1},
    "held out": {"data.val_size": 0.5},
    "mix": {"data.shuffle_seed": 1, "data.mix": "interleave_under"},
    "another set, of another format": {"data.eval": [{"path": "OTHER", "format": "openai"}]},
    "name": {"data.train": [{"path": "ROWS", "format": "alpaca", "name": "talks"}]},
}


@pytest.fixture(scope="module")
def base(reader, tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    talk = [{"role": "user", "content": "who?"}, {"role": "assistant", "content": "nobody"}]
    (folder / "other.jsonl").write_text("\n".join([json.dumps({"messages": talk})] * 3))
    config = config_of(folder, reader)
    return config, key(config)


def in_places(value, folder: Path):
    text = json.dumps(value).replace("ROWS", str(folder / "rows.jsonl")).replace("OTHER", str(folder / "other.jsonl"))
    return json.loads(text)


QUICK = ("stage.max_length", "another set, of another format")


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in (*MATTERS, *NOTHING)]
)
def test_an_option_changes_the_key_exactly_if_encoding_depends_on_it(name, base) -> None:
    config, first = base
    folder = Path(config["data"]["cache_dir"]).parent
    overrides = in_places({**MATTERS, **NOTHING}[name], folder)
    assert (first in {kept.name for kept in encode(config, overrides)}) == (name in NOTHING)


def test_contents_count_and_places_do_not(tiny_llama, tmp_path: Path) -> None:
    reader = tmp_path / "model"
    shutil.copytree(tiny_llama, reader)
    config = config_of(tmp_path, reader)
    first = key(config)
    (reader / "model.safetensors").unlink()
    (reader / "generation_config.json").write_text("{}")
    about = json.loads((reader / "config.json").read_text())
    (reader / "config.json").write_text(json.dumps({**about, "dtype": "float16"}))
    assert key(config) == first, "the weights, and what is of them"
    moved = tmp_path / "deep" / "other_name.jsonl"
    moved.parent.mkdir()
    shutil.copy(tmp_path / "rows.jsonl", moved)
    shutil.copytree(reader, tmp_path / "copied")
    assert (
        key(config, data__train=[{"path": str(moved), "format": "alpaca"}], model__path=str(tmp_path / "copied"))
        == first
    )
    os.utime(tmp_path / "rows.jsonl", ns=(1, 1))
    assert key(config) == first, "times"
    edited(tmp_path / "rows.jsonl", "it is 33", "it is 34")
    second = key(config)
    assert second != first, "a row beyond the first 16, of the same size at the same time"
    made = json.loads((reader / "tokenizer.json").read_text())
    made["pre_tokenizer"]["add_prefix_space"] = not made["pre_tokenizer"]["add_prefix_space"]
    (reader / "tokenizer.json").write_text(json.dumps(made))
    assert key(config) != second, "the tokenizer's files"


PLUGINS = ("tunesmith_stage_sft", "tunesmith_template_chatml", "tunesmith_format_alpaca", "tunesmith_data_datasets")
OTHERS = ("tunesmith_trainer_transformers", "tunesmith_adapter_lora", "tunesmith_tracker_console")


@pytest.mark.slow
def test_code_and_versions_count(base, monkeypatch) -> None:
    config, first = base
    plain, sources = metadata.version, fingerprints._sources
    with monkeypatch.context() as patch:
        patch.setattr(fingerprints.importlib.metadata, "version", lambda name: f"{plain(name)}.post1")
        assert key(config) != first, "versions of the libraries"
    for packages in (OTHERS, *([package] for package in PLUGINS)):
        with monkeypatch.context() as patch:
            patch.setattr(fingerprints, "_sources", lambda name, p=packages: [] if name in p else sources(name))
            assert (key(config) == first) == (packages is OTHERS), f"the code of {packages}"


def test_a_training_run_finds_what_was_encoded_elsewhere(tiny_llama, reader, tmp_path: Path, caplog) -> None:
    """Encoded without weights into a folder, which is copied with the data; a run with weights takes it from there."""
    before, after = tmp_path / "before", tmp_path / "after" / "deeper"
    before.mkdir()
    config = config_of(before, reader)
    encode(config, {"data.cache_dir": str(before / "encoded")})
    shutil.copytree(before / "encoded", after / "copied")
    shutil.copy(before / "rows.jsonl", after / "rows.jsonl")
    shutil.rmtree(before)
    again = {
        **config_of(after, tiny_llama),
        "trainer": {"max_steps": 3},
        "precision": "bf16",
        "output_dir": str(after / "run"),
    }
    again["data"]["cache_dir"] = str(after / "copied")
    with caplog.at_level("INFO"):
        run = assemble(compose(again), "train")
        source = model_source(run, training=True)
        assert len(encoded_data(run, source, *reader_of(run, source)).train) == 40
    assert "from the cache" in caplog.text
    assert len([path for path in (after / "copied").iterdir() if path.is_dir()]) == 1


def test_a_run_that_encodes_anew_says_what_differs(base, caplog) -> None:
    with caplog.at_level("INFO"):
        key(base[0], stage__max_length=55)
    (said,) = (record.getMessage() for record in caplog.records if "encoded otherwise" in record.getMessage())
    assert said.startswith("data rows: the cache has these files") and "options of stage.sft" in said
    assert "tokenizer" not in said and "files," not in said


def test_encode_tells_where_and_how_much(reader, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = config_of(tmp_path, reader)
    (tmp_path / "my.yaml").write_text(json.dumps(config))
    done = CliRunner().invoke(Data().command(), ["encode", "my.yaml", "--output", "there"], standalone_mode=False)
    assert done.exception is None
    (folder,) = (path for path in (tmp_path / "there").iterdir() if path.is_dir())
    import datasets

    tokens = sum(map(len, datasets.Dataset.from_file(str(folder / "data.arrow"))["input_ids"]))
    assert f"rows      40        {tokens:,}" in done.output and f"there/{folder.name}" in done.output
    assert "data.cache_dir=there" in done.output


@pytest.mark.parametrize(
    "option, told",
    [("data.cache=false", "nothing of the encoded data was kept"), ("data.streaming=true", "keeps nothing of it")],
)
def test_encode_refuses_what_leaves_nothing(option, told, reader, tmp_path: Path) -> None:
    with pytest.raises(tunesmith.TunesmithError, match=told):
        encode(config_of(tmp_path, reader), [option])


class Elsewhere:
    """Has shards encoded as another machine would: by what arrives there."""

    def spread(self, tasks, make):
        yield from map(pickle.loads(pickle.dumps(make))(), json.loads(json.dumps(tasks)))


def test_shards_that_another_machine_encodes(reader, tmp_path: Path) -> None:
    """It reads the configuration itself; the examples are those of one piece, under the same key."""
    import datasets

    config, words = config_of(tmp_path, reader), ["data.batch_size=4", "data.streaming=true", "trainer.max_steps=1"]
    (whole,) = encode(config, {"data.batch_size": 4})
    expected = datasets.Dataset.from_file(str(whole / "data.arrow"))[:]
    (folder,) = encode_spread(Elsewhere(), config, [*words, f"data.cache_dir={tmp_path / 'there'}"])
    about = read_about(folder)
    parts = [datasets.Dataset.from_file(str(file)) for file in data_files(folder, about)]
    assert datasets.concatenate_datasets(parts)[:] == expected and len(parts) == 10
    assert (about["records"], about["examples"]) == (40, 40) and about["parts"] == read_about(whole)["parts"]
    assert folder.name == whole.name
    assert encode(config, {"data.batch_size": 4, "data.cache_dir": str(tmp_path / "there")}) == (folder,)
    with pytest.raises(tunesmith.TunesmithError, match="nothing of the encoded data was kept"):
        encode_spread(Elsewhere(), config, ["data.cache=false"])
    assert spreader_of(compose(config, ["parallel=ddp"])) is None


@pytest.mark.slow
def test_two_processes_at_once_encode_once(reader, tmp_path: Path) -> None:
    config = config_of(tmp_path, reader)
    rows_of(tmp_path / "rows.jsonl", 20_000)
    (tmp_path / "my.yaml").write_text(json.dumps(config))
    words = [sys.executable, "-m", "tunesmith", "data", "encode", str(tmp_path / "my.yaml")]
    both = [subprocess.Popen(words, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert sorted("from the cache" in text for text in said) == [False, True]
