"""Files, what they inherit, and overrides become one tree whose values know where they came from."""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from tunesmith_library_configuration.errors import ConfigError
from tunesmith_library_configuration.keys import Key, Origin
from tunesmith_library_configuration.layers import Layer, Layers, Things
from tunesmith_library_configuration.overrides import read_overrides, written_overrides
from tunesmith_library_configuration.trees import Added

NAMED = {
    "adapter": SimpleNamespace(many=False, default=("lora",)),
    "quantizer": SimpleNamespace(many=False, default=()),
    "tracker": SimpleNamespace(many=True, default=("console", "plot")),
}


def compose(config=None, overrides=None, **more):
    """Layers of a file or a mapping, and overrides."""
    made = Layers(named=NAMED, **more)
    if isinstance(config, dict):
        made.add(config, Origin("the given mapping"))
    elif config is not None:
        made.add_file(config)
    made.override(read_overrides(overrides))
    return made


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


def origins(composition):
    return {str(key): str(origin) for key, origin in composition.origins.items()}


def test_later_wins_and_origins_follow(write):
    write("base.yaml", "seed: 1\nadapter:\n  rank: 8\n  dropout: 0.1\n")
    write("more.yaml", "seed: 2\ntrainer: {max_steps: 5}\n")
    path = write("run.yml", "defaults: [base.yaml, more.yaml]\nadapter:\n  rank: 16\n")
    made = compose(path, ["adapter.dropout=0.2", "seed=3"])
    assert made.tree == {"seed": 3, "adapter": {"rank": 16, "dropout": 0.2}, "trainer": {"max_steps": 5}}
    where = origins(made)
    assert where["seed"] == where["adapter.dropout"] == "command line"
    assert where["adapter.rank"] == f"{path}:3"
    assert where["trainer.max_steps"] == f"{path.parent / 'more.yaml'}:2"
    assert made.notices == []


def test_inherited_files_are_relative_to_the_file_that_names_them(write):
    write("a/base.yaml", "defaults: [b/inner.yaml]\nseed: 1\n")
    write("a/b/inner.yaml", "precision: fp32\nseed: 0\n")
    assert compose(write("c.yaml", "defaults: [a/base.yaml]\n")).tree == {"precision": "fp32", "seed": 1}


def test_what_two_files_share_is_inherited_once(write):
    write("shared.yaml", "adapter: {rank: 8}\n")
    write("one.yaml", "defaults: [shared.yaml]\nadapter: {rank: 32}\n")
    write("two.yaml", "defaults: [shared.yaml]\nseed: 1\n")
    made = compose(write("c.yaml", "defaults: [one.yaml, two.yaml]\n"))
    assert made.tree["adapter"] == {"rank": 32}, "two.yaml says nothing of the rank"


def test_a_circle_of_files_is_named(write):
    write("a.yaml", "defaults: [b.yaml]\n")
    path = write("b.yaml", "defaults: [a.yaml]\n")
    with pytest.raises(ConfigError, match=r"inherits itself: b\.yaml → a\.yaml → b\.yaml"):
        compose(path)


@pytest.mark.parametrize("defaults", ["base.yaml", "{a: b}", "[1]"])
def test_defaults_of_another_form(write, defaults):
    with pytest.raises(ConfigError, match=r"c\.yaml:2: defaults is a list of files, like \[base\.yaml\]\."):
        compose(write("c.yaml", f"seed: 1\ndefaults: {defaults}\n"))


def test_an_inherited_file_that_is_not_there(write):
    write("base.yaml", "")
    with pytest.raises(ConfigError, match=r"c\.yaml:2: bse\.yaml is not found\.\n.*did you mean base\.yaml\?"):
        compose(write("c.yaml", "defaults:\n  - bse.yaml\n"))


def test_a_mapping_is_like_a_file_and_is_left_as_it_was(write):
    write("base.yaml", "seed: 1\n")
    given = {"defaults": ["base.yaml"], "adapter": {"rank": 8}, "data": {"train": [{"path": "a"}]}}
    made = compose(given, {"data.train[0].path": "b", "adapter.rank": 2})
    assert made.tree == {"seed": 1, "adapter": {"rank": 2}, "data": {"train": [{"path": "b"}]}}
    assert given["data"] == {"train": [{"path": "a"}]} and given["adapter"] == {"rank": 8}
    assert origins(made)["data.train"] == "the given mapping"
    assert origins(made)["data.train[0].path"] == "overrides"


def test_another_name_drops_the_options_and_says_so():
    made = compose({"adapter": {"name": "oft", "block": 4, "rank": 2}}, ["adapter=full"])
    assert made.tree["adapter"] == {"name": "full"}
    assert made.notices == ["adapter=full drops adapter.block, adapter.rank, which belonged to oft"]


def test_the_same_name_keeps_the_options():
    made = compose({"adapter": {"name": "lora", "rank": 2}}, ["adapter=lora"])
    assert made.tree["adapter"] == {"name": "lora", "rank": 2} and made.notices == []


@pytest.mark.parametrize("words", [["quantizer.bits=2", "quantizer=hqq"], ["quantizer=hqq", "quantizer.bits=2"]])
def test_the_order_of_name_and_option_does_not_matter(words):
    made = compose(None, words)
    assert made.tree["quantizer"] == {"name": "hqq", "bits": 2} and made.notices == []
    changed = compose({"quantizer": {"name": "gptq", "group": 8}}, words)
    assert changed.tree["quantizer"] == {"name": "hqq", "bits": 2}
    assert changed.notices == ["quantizer=hqq drops quantizer.group, which belonged to gptq"]


def test_null_takes_a_plugin_away():
    made = compose({"quantizer": {"name": "hqq", "bits": 2}}, ["quantizer=null"])
    assert made.tree["quantizer"] == {"name": None}
    assert made.notices == ["quantizer=null drops quantizer.bits, which belonged to hqq"]


@pytest.mark.parametrize(
    ("written", "tree"),
    [
        ("tracker: plot", {"plot": {}}),
        ("tracker: [plot, console]", {"plot": {}, "console": {}}),
        ("tracker: {plot: {x: 1}, console: }", {"plot": {"x": 1}, "console": {}}),
        ("tracker: {plot: true, console: false}", {"plot": {}}),
        ("tracker: {console: false}", {"plot": {}}),
        ("tracker: {console: null}", {"plot": {}}),
        ("tracker: {console: ~, plot: false}", {}),
        *(("tracker:", {}), ("tracker: {}", {}), ("tracker: []", {})),
    ],
)
def test_forms_of_a_kind_of_which_there_are_many(write, written, tree):
    assert compose(write("c.yaml", written)).tree == {"tracker": tree}


@pytest.mark.parametrize(
    ("override", "tree"),
    [
        ("tracker={}", {}),
        ("tracker=[]", {}),
        ("tracker=null", {}),
        ("tracker=[console]", {"console": {}}),
        ("tracker={console: {}}", {"wandb": {"project": "x"}, "plot": {}, "console": {}}),
        ("tracker.plot=false", {"wandb": {"project": "x"}}),
        ("tracker.plot=null", {"wandb": {"project": "x"}}),
        ("tracker={plot: null}", {"wandb": {"project": "x"}}),
        ("tracker=[wandb, console]", {"wandb": {"project": "x"}, "console": {}}),
        ("tracker+=[console]", {"wandb": {"project": "x"}, "plot": {}, "console": {}}),
        ("tracker+=console", {"wandb": {"project": "x"}, "plot": {}, "console": {}}),
        ("tracker+={console: {y: 1}}", {"wandb": {"project": "x"}, "plot": {}, "console": {"y": 1}}),
        ("tracker+=[wandb]", {"wandb": {"project": "x"}, "plot": {}}),
        ("tracker.wandb.group=y", {"wandb": {"project": "x", "group": "y"}, "plot": {}}),
    ],
)
def test_overriding_a_kind_of_which_there_are_many(override, tree):
    assert compose({"tracker": {"wandb": {"project": "x"}, "plot": {}}}, [override]).tree == {"tracker": tree}


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("tracker: 3", r"tracker cannot be 3\.\nwrite names, like tracker: \[name\]\n.*c\.yaml:1"),
        ("tracker:\n- plot: {x: 1}", r"tracker: \{'plot': .*\} is not a name\.\nwrite tracker: \[name, …\].*\n.*:1"),
        (
            "tracker:\n  plot: 3",
            r"tracker\.plot cannot be 3\.\nwrite .* as a mapping, or leave it out: tracker\.plot=null\n.*c\.yaml:2",
        ),
    ],
)
def test_what_is_no_form_of_many(write, written, message):
    with pytest.raises(ConfigError, match=message):
        compose(write("c.yaml", written))


def test_elements_of_lists_are_overridden(write):
    path = write("c.yaml", "data:\n  train:\n  - path: a\n    weight: 1\n  - b\n")
    made = compose(path, ["data.train[0].weight=2", "data.train[1]={path: c}"])
    assert made.tree["data"]["train"] == [{"path": "a", "weight": 2}, {"path": "c"}]
    where = origins(made)
    assert where["data.train[0].path"] == f"{path}:3"
    assert where["data.train[0].weight"] == where["data.train[1].path"] == "command line"


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("data.train[1].path=x", r"data\.train is a list of 1"),
        ("data.train[0].path=x", r"data\.train\[0\] is 'a'\.\nwrite it whole: data\.train\[0\]=\{path: …, …\}"),
        ("data[0]=x", r"data is \{'train': \['a'\]\}"),
        ("stage[0]=x", r"stage is None"),
    ],
)
def test_an_element_that_is_not_there(word, found):
    with pytest.raises(ConfigError, match=rf"cannot be set: {found}\.?\ncommand line"):
        compose({"data": {"train": ["a"]}}, [word])


def test_a_list_is_replaced_and_a_mapping_is_merged():
    made = compose({"data": {"train": ["a", "b"], "columns": {"x": 1}}}, ["data.train=[c]", "data.columns.y=2"])
    assert made.tree["data"] == {"train": ["c"], "columns": {"x": 1, "y": 2}}
    assert "data.train[1]" not in origins(made)


@pytest.mark.parametrize("word", ["adapter", "=3", "adapter.rank"])
def test_what_is_no_override(word):
    with pytest.raises(ConfigError, match=r"is not an override\.\nwrite key=value, like adapter\.rank=16"):
        compose(None, [word])


def test_nothing_at_all():
    made = compose()
    assert made.tree == {}


def test_the_defaults_of_many_stay_beside_one_that_is_set():
    assert compose(None, ["tracker.wandb.project=x"]).tree["tracker"] == {
        "console": {},
        "plot": {},
        "wandb": {"project": "x"},
    }
    assert set(compose(None, ["tracker.plot=false"]).tree["tracker"]) == {"console"}


def test_inherited_files_are_looked_for_in_other_folders_too(write, tmp_path):
    write("shared/base.yaml", "seed: 1\n")
    path = write("own/c.yaml", "defaults: [base.yaml]\n")
    assert compose(path, folders=lambda: [tmp_path / "shared"]).tree == {"seed": 1}
    with pytest.raises(ConfigError, match=r"c\.yaml:1: base\.yaml is not found"):
        compose(path, folders=lambda: [Path("nowhere")])


def test_each_layer_may_be_changed_before_it_is_put(write):
    def louder(layer):
        tree = {name.upper(): value for name, value in layer.tree.items() if name != "defaults"}
        kept = {name: value for name, value in layer.tree.items() if name == "defaults"}
        origins = {Key(str(key[0]).upper(), *key[1:]): at for key, at in layer.origins.items()}
        return Layer({**tree, **kept}, {**origins, **layer.origins}, layer.source), [f"{layer.source} is louder"]

    base = write("base.yaml", "a: 1\n")
    path = write("c.yaml", "defaults: [base.yaml]\nb: 2\n")
    made = compose(path, ["b=3"], change=louder)
    assert made.tree == {"A": 1, "B": 2, "b": 3}
    assert made.notices == [f"{path} is louder", f"{base} is louder"]


@pytest.mark.parametrize("word", ["tracker.plto=null", "tracker.plto=false"])
def test_dropping_what_is_not_there_is_told(word):
    made = compose(None, [word])
    assert set(made.tree["tracker"]) == {"console", "plot"}
    assert made.notices == ["tracker.plto is not there to be dropped; there: console, plot   did you mean plot?"]


def test_names_that_go_take_their_options_with_them_and_say_so():
    made = compose({"tracker": {"wandb": {"project": "x"}, "plot": {"size": 3}}}, ["tracker=[plot]"])
    assert made.tree["tracker"] == {"plot": {"size": 3}}
    assert made.notices == ["tracker=[plot] drops tracker.wandb.project"]
    assert "tracker.wandb.project" not in origins(made)


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("data.train+=[c, d]", ["a", "b", "c", "d"]),
        ("data.train+=c", ["a", "b", "c"]),
        ("data.train+={path: c}", ["a", "b", {"path": "c"}]),
        ("data.train+=[]", ["a", "b"]),
    ],
)
def test_lists_are_added_to(write, word, found):
    path = write("c.yaml", "data:\n  train:\n  - a\n  - b\n")
    made = compose(path, [word])
    assert made.tree["data"]["train"] == found
    where = origins(made)
    assert where["data.train[1]"] == f"{path}:4"
    assert all(where[f"data.train[{index}]"] == "command line" for index in range(2, len(found)))


def test_items_behind_those_of_a_default_are_marked_for_who_knows_it():
    made = compose(None, ["data.train+=[a]", "data.train+=[b]", "data.sets[0].x+=1"][:2])
    assert isinstance(made.tree["data"]["train"], Added) and made.tree["data"]["train"] == ["a", "b"]
    (again,) = read_overrides(written_overrides({"data": made.tree["data"]}))
    assert isinstance(again.value["train"], Added)
    inner = compose({"data": {"train": [{"x": ["p"]}]}}, {"data.train[0].x+": ["q"]})
    assert inner.tree["data"]["train"] == [{"x": ["p", "q"]}]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("data.rows+=[a]", r"data\.rows\+=… adds to a list, but data\.rows is \{'x': 1\}"),
        ("data.other+=[a]", r"adds to a list, but data\.other is '\$\{data\.rows\}'"),
        ("data.train+=[a", r"this is not YAML: .*\nwrite data\.train\+=\[ITEM\]"),
        ("adapter+=[lora]", r"adapter holds one.*\nwrite adapter=NAME"),
        ("adapter=[lora", r"adapter=\[lora: the value is not YAML"),
    ],
)
def test_what_nothing_is_added_to(word, message):
    with pytest.raises(ConfigError, match=message):
        compose({"data": {"rows": {"x": 1}, "other": "${data.rows}"}}, [word])


@pytest.mark.parametrize("word", ["quantizer=false", "quantizer=null"])
def test_one_thing_is_taken_away(word):
    assert compose({"quantizer": {"name": "hqq"}}, [word]).tree["quantizer"] == {"name": None}


def test_names_are_what_was_typed():
    assert compose(None, ["adapter=0123"]).tree["adapter"] == {"name": "0123"}


def test_a_file_is_the_same_by_any_path_and_keeps_its_options(write, tmp_path):
    write("own/loss.py", "")
    whole = f"{tmp_path}/own/loss.py:Mine"
    made = compose({"quantizer": {"name": whole, "bits": 2}}, ["quantizer=own/loss.py:Mine"])
    assert made.tree["quantizer"] == {"name": "own/loss.py:Mine", "bits": 2} and made.notices == []
    other = compose({"quantizer": {"name": whole, "bits": 2}}, ["quantizer=own/loss.py:Other"])
    assert other.tree["quantizer"] == {"name": "own/loss.py:Other"}
    path = write("own/c.yaml", "tracker: {'loss.py:Mine': {x: 1}, plot: {}}\n")
    many = compose(path, ["tracker+=[own/loss.py:Mine]"])
    assert many.tree["tracker"] == {"plot": {}, "own/loss.py:Mine": {"x": 1}}
    assert origins(many)["tracker.own/loss.py:Mine"] == "command line"


def test_overrides_are_written_as_they_are_read():
    values = {"adapter.rank": 3, "data.train": ["a b.json", {"path": "ü"}], "tracker": None, "text": "1e-4"}
    again = read_overrides(written_overrides(values))
    assert {str(item.key): item.value for item in again} == values
    assert written_overrides(["a=1"]) == ["a=1"] and written_overrides(None) == []


# ---- options that all things of a key have --------------------------------------------------------------------------


@dataclass(kw_only=True)
class Merged:
    bits: int = 16
    verify: bool = True


@dataclass(kw_only=True)
class Gguf(Merged):
    name: str | None = None
    keys: dict[str, int] | None = None
    adapter: bool = False


@pytest.mark.parametrize(
    ("file", "words", "tree"),
    [
        ("", ["exporter.verify=false"], {"merged": {"verify": False}}),
        (
            "",
            ["exporter=[merged, gguf]", "exporter.verify=false"],
            {"merged": {"verify": False}, "gguf": {"verify": False}},
        ),
        ("", ["exporter.verify=false", "exporter=[gguf]"], {"gguf": {"verify": False}}),
        ("", ["exporter=gguf", "exporter.gguf.bits=4"], {"gguf": {"bits": 4}}),
        ("exporter: {name: gguf, bits: 4}", [], {"gguf": {"bits": 4}}),
        ("exporter: {bits: 4}", [], {"merged": {"bits": 4}}),
        (
            "exporter: {merged: {bits: 8}, gguf: true, verify: false}",
            [],
            {"merged": {"bits": 8, "verify": False}, "gguf": {"verify": False}},
        ),
        ("exporter: {merged: {bits: 8}}", ["exporter.name=gguf"], {"gguf": {}}),
        ("exporter: {merged: {bits: 8}, gguf: {}}", ["exporter.merged=false"], {"gguf": {}}),
        # options that are mappings, or null
        (
            "",
            ["exporter=gguf", "exporter.keys.a=4", "exporter.keys.c=1"],
            {"gguf": {"keys": {"a": 4, "c": 1}}},
        ),
        ("exporter: {gguf: {}, keys: {a: 1}}", [], {"gguf": {"keys": {"a": 1}}}),
        ("exporter: {name: gguf, keys: {a: 1}}", ["exporter.keys=null"], {"gguf": {"keys": None}}),
        ("", ["exporter=gguf", "exporter.other.a=1"], {"gguf": {}, "other": {"a": 1}}),
        # options that are called as a thing is
        ("", ["exporter=gguf", "exporter.adapter=true", "exporter.bits=4"], {"gguf": {"adapter": True, "bits": 4}}),
        ("", ["exporter=gguf", "exporter.adapter=false"], {"gguf": {"adapter": False}}),
        ("exporter: {name: gguf, adapter: true}", [], {"gguf": {"adapter": True}}),
        ("exporter: {gguf: {}, adapter: true}", [], {"gguf": {}, "adapter": {}}),
        ("", ["exporter=gguf", "exporter+=[adapter]"], {"gguf": {}, "adapter": {}}),
        ("", ["exporter=gguf", "exporter.adapter.bits=2"], {"gguf": {}, "adapter": {"bits": 2}}),
        ("", ["exporter=[gguf,adapter]", "exporter.adapter=false"], {"gguf": {}}),
        ("", ["exporter=[gguf,merged]", "exporter.adapter=true"], {"gguf": {}, "merged": {}, "adapter": {}}),
        ("", ["exporter.adapter=true"], {"merged": {}, "adapter": {}}),
        # a name in what is made
        ("", ["exporter=gguf", "exporter.name=My/Waves:v1"], {"gguf": {"name": "My/Waves:v1"}}),
        ("", ["exporter=gguf", "exporter.name=merged"], {"merged": {}}),
        ("", ["exporter=gguf", "exporter.name=acme:merged"], {"acme:merged": {}}),
        ("", ["exporter=merged", "exporter.name=Waves"], {"Waves": {}}),
    ],
)
def test_what_names_no_thing_is_an_option_of_all(tmp_path, file: str, words: list[str], tree: object) -> None:
    named = {"exporter": SimpleNamespace(many=True, default=("merged",))}
    classes = {"merged": Merged, "gguf": Gguf, "adapter": Merged}
    catalog = SimpleNamespace(names=lambda key: list(classes), find=lambda key, name: name, load=classes.__getitem__)
    layers = Layers(named=named, things=lambda key: Things(key, catalog))
    (tmp_path / "c.yaml").write_text(file)
    layers.add_file(tmp_path / "c.yaml")
    layers.override(read_overrides(words))
    assert layers.tree["exporter"] == tree


def test_options_that_are_written_anew_are_not_told_as_dropped(write):
    write("base.yaml", "adapter: {name: lora, rank: 8, dropout: 0.1}\n")
    same = write("same.yaml", "defaults: [base.yaml]\nadapter: {name: oft, rank: 4, dropout: 0.2}\n")
    assert compose(same).notices == []
    made = compose(write("less.yaml", "defaults: [base.yaml]\nadapter: {name: oft, rank: 4}\n"))
    assert made.notices == ["adapter=oft drops adapter.dropout, which belonged to lora"]
