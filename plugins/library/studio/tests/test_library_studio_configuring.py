"""Configurations of a front end: forms of what is installed, drafts, command lines, sweeps."""

from __future__ import annotations

import json
import re
import shlex
import threading
import time
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
from tunesmith import TunesmithError
from tunesmith.catalog import Catalog
from tunesmith.compose import compose
from tunesmith_library_studio import Studio, Workspace
from tunesmith_library_studio.configuring import Given, places
from tunesmith_library_studio.configuring.drafts import Draft, _fixes, answer
from tunesmith_library_studio.configuring.form import form
from tunesmith_library_studio.configuring.processes import Outdated
from tunesmith_library_studio.configuring.sweeps import Axis, variants
from tunesmith_library_studio.configuring.writing import command_of, yaml_of
from tunesmith_library_studio.workspace import OutsideWorkspace

PLUGIN = '''
"""A third party's quantizer."""
from dataclasses import dataclass, field
from typing import Annotated, Literal

from tunesmith import plugin
from tunesmith.ranges import between


@dataclass(kw_only=True)
class Part:
    SHORTHAND = "name"
    name: str = "all"  # which layers


@plugin
class Mine:
    """Rounds everything."""

    bits: Annotated[int, between(1, 8)] = 4  # bits per weight
    mode: Literal["a", "b", None] = "a"  # how
    scale: float | Literal["auto"] = "auto"  # of the rounding
    parts: list[Part] = field(default_factory=list)  # what is rounded
    names: dict[str, int] = field(default_factory=dict)  # bits by name
'''


def install(site: Path, name: str, code: str) -> None:
    """Put a distribution with one quantizer into a folder of packages."""
    info = site / f"tunesmith_quantizer_{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: tunesmith-quantizer-{name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[tunesmith.quantizer]\n{name} = tunesmith_quantizer_{name}:Mine\n")
    (site / f"tunesmith_quantizer_{name}.py").write_text(code)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where packages are found, by this process and those that it starts; only its plugins are shown."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setenv("TUNESMITH_PLUGINS", "mine,broken,later,ends")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    made = Studio(Workspace(Path("runs"), tmp_path))
    yield made
    made.close()


def quantizers(studio: Studio) -> dict[str, Any]:
    made = json.loads(studio.forms.form()[0])
    (kind,) = [kind for kind in made["kinds"] if kind["name"] == "quantizer"]
    return {plugin["name"]: plugin for plugin in kind["plugins"]}


def test_a_third_party_is_in_the_form_when_it_is_installed(site: Path, studio: Studio) -> None:
    """With its options, without a restart; a broken one with its cause; what is taken away is gone."""
    install(site, "mine", PLUGIN)
    install(site, "broken", "import nothing_of_this_name\n")
    install(site, "ends", "raise SystemExit(3)\n")
    found = quantizers(studio)
    assert "ends the program" in found["ends"]["broken"]
    assert "nothing_of_this_name" in found["broken"]["broken"] and found["broken"]["options"] == []
    mine = {option["name"]: option for option in found["mine"]["options"]}
    assert found["mine"]["summary"] == "Rounds everything." and found["mine"]["version"] == "1.0"
    assert mine["bits"]["shape"] == {"kind": "integer", "minimum": 1, "maximum": 8}
    assert (mine["bits"]["help"], mine["bits"]["default"]) == ("bits per weight", 4)
    assert mine["mode"]["shape"] == {"kind": "choice", "choices": ["a", "b"], "optional": True}
    assert [member["kind"] for member in mine["scale"]["shape"]["members"]] == ["number", "choice"]
    assert mine["parts"]["shape"]["item"]["shorthand"] == "name" and mine["names"]["shape"]["kind"] == "map"
    first = studio.forms.form()[1]
    install(site, "later", PLUGIN)
    assert "later" in quantizers(studio) and studio.forms.form()[1] != first
    (site / "tunesmith_quantizer_mine.py").write_text(PLUGIN.replace("bits per weight", "bits of a weight"))
    assert quantizers(studio)["mine"]["options"][0]["help"] == "bits of a weight"


def test_the_form_is_kept_until_something_changes(site: Path, studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    install(site, "mine", PLUGIN)
    made = studio.forms.form()
    again = Studio(studio.workspace)
    monkeypatch.setattr(again.forms.process, "ask", lambda *_: pytest.fail("it is made again"))
    assert again.forms.form() == made
    again.forms.process.close()


def draft(tmp_path: Path, text: str, *overrides: str, allowed: tuple[Path, ...] = ()) -> dict[str, Any]:
    workspace = Workspace(Path("runs"), tmp_path, allowed)
    return answer(Draft(tmp_path / "draft.yaml", overrides, text=text), workspace, Catalog.of({}))


def test_a_text_is_read_back_with_its_lines(tmp_path: Path) -> None:
    found = draft(tmp_path, "# mine\nadapter: {name: lora, rank: 3}\ntracker: []\nnonsense: 1\nseed: many\n")
    assert found["values"]["adapter"] == {"name": "lora", "rank": 3} and found["values"]["tracker"] == {}
    assert found["comments"] and found["origins"]["adapter.rank"] == 2
    lines = {problem["key"]: problem["line"] for problem in found["problems"]}
    assert lines["nonsense"] == 4 and lines["seed"] == 5
    assert "draft.yaml" not in json.dumps(found)


@pytest.mark.parametrize("mode", ["b", "no mode"])
def test_plugins_of_own_files_show_their_options(tmp_path: Path, mode: str) -> None:
    """Also where one of them is wrong, which could not be mended in the form otherwise."""
    (tmp_path / "mine.py").write_text(PLUGIN)
    found = draft(tmp_path, f"quantizer: {{name: ./mine.py:Mine, mode: {mode}}}\n")
    (own,) = found["own"]
    assert (own["kind"], own["name"], own["file"]) == ("quantizer", "./mine.py:Mine", "mine.py")
    assert own["summary"] == "Rounds everything." and not found["unconfirmed"]
    assert [option["name"] for option in own["options"]] == ["bits", "mode", "scale", "parts", "names"]


def test_a_file_that_only_a_record_names_is_not_run_before_that_is_confirmed(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PLUGIN + "from pathlib import Path\nPath(__file__).with_name('ran').touch()\n")
    workspace, name, catalog = Workspace(Path("runs"), tmp_path), f"{tmp_path}/mine.py:Mine", Catalog.of({})
    record = tmp_path / "runs" / "first" / "run.yaml"
    record.parent.mkdir(parents=True)
    record.write_text(yaml_of({"seed": 7, "quantizer": {"name": name, "bits": 3}, "reward": {name: {}}}))
    found = answer(Draft(record), workspace, catalog)
    again = answer(Draft(tmp_path / "draft.yaml", values=found["values"]), workspace, catalog)
    assert found["values"] == {"seed": 7} and not found["own"] and not again["own"]
    assert any("not run for that reason" in problem["message"] for problem in found["problems"])
    assert not (tmp_path / "ran").exists()
    asked, reward = found["unconfirmed"]
    assert asked == {"kind": "quantizer", "name": name, "file": "mine.py", "value": {"name": name, "bits": 3}}
    assert (reward["kind"], reward["value"]) == ("reward", {})
    confirmed = answer(Draft(tmp_path / "draft.yaml", values={"quantizer": asked["value"]}), workspace, catalog)
    assert [own["kind"] for own in confirmed["own"]] == ["quantizer"] and (tmp_path / "ran").exists()


def test_a_text_that_is_no_yaml_is_told_with_its_line(tmp_path: Path) -> None:
    found = draft(tmp_path, "seed: 1\nadapter: [lora\n")
    (problem,) = found["problems"]
    assert found["values"] is None and problem["line"] == 3 and "not YAML" in problem["message"]


def test_an_advice_is_a_fix() -> None:
    """Overrides that a problem's advice names can be applied, placeholders and paths are for people."""
    assert list(_fixes("adapter=full or write stage.max_length=2048.")) == [["adapter=full"], ["stage.max_length=2048"]]
    assert list(_fixes("write data.train=[data/train.json] or output_dir=runs/NAME, quantizer=NAME")) == []


@pytest.mark.parametrize("path", ["/etc/passwd", "~/x", "../x", "local:///etc", "a/../../../x", "/etc/x.py:Mine"])
def test_no_path_of_a_draft_leads_away(tmp_path: Path, path: str) -> None:
    found = draft(tmp_path, json.dumps({"model": {"path": path}}))
    assert "outside of the workspace" in found["problems"][0]["message"]
    assert "outside of the workspace" in draft(tmp_path, "{}", f"model.path={path}")["problems"][0]["message"]


def test_paths_of_the_workspace_and_texts_are_no_problem(tmp_path: Path) -> None:
    allowed = tmp_path / "models"
    texts = ["data/a.json", str(tmp_path / "x"), str(allowed), "org/model", "/no_think", "a .. b", "s3://a/b"]
    places.hold_inside({"a": texts}, Workspace(Path("runs"), tmp_path, [allowed]))
    with pytest.raises(OutsideWorkspace):
        places.hold_inside({"../key": 1}, Workspace(Path("runs"), tmp_path))


def test_values_are_one_with_their_yaml_and_their_command_line(tmp_path: Path) -> None:
    values = {
        "seed": 7,
        "model": {"path": "org/a model", "config": {"rope": {"factor": 2.0}}},
        "adapter": {"name": "lora", "rank": 8, "target_modules": ["q", "v"]},
        "tracker": {"plot": {}, "wandb": {"project": "it's"}},
        "patch": {"liger": {}},
        "optimizer": {"name": "galore"},
        "trainer": {"learning_rate": 1e-5, "optim_args": "0123"},
    }
    (tmp_path / "a.yaml").write_text(yaml_of(values))
    assert compose(tmp_path / "a.yaml").tree == values
    program, command, *overrides = shlex.split(command_of(values))
    assert (program, command) == ("tunesmith", "train") and compose(None, overrides).tree == values


def test_runs_of_a_sweep() -> None:
    axes = [Axis("adapter.rank", [8, 16]), Axis("trainer.learning_rate", [1e-4, 5e-5])]
    assert [row[0][-2:] for row in variants(axes)] == ["=8", "=8", "16", "16"] and len(variants(axes)) == 4
    assert variants(axes, grid=False)[1][0] == "adapter.rank=16" and len(variants(axes, grid=False)) == 2
    for wrong, grid in (([], True), ([Axis("seed", [])], True), ([*axes, Axis("seed", [1])], False)):
        with pytest.raises(TunesmithError):
            variants(wrong, grid)
    with pytest.raises(TunesmithError, match="at most"):
        variants([Axis("seed", range(300))])


def test_a_run_is_done_again_by_what_it_changed(site: Path, studio: Studio) -> None:
    """The record of a run has every option; values have those that are not the default, and no place."""
    install(site, "mine", PLUGIN)
    folder = studio.workspace.runs / "first"
    folder.mkdir(parents=True)
    record = {
        "output_dir": "runs/first",
        "seed": 42,
        "precision": "fp32",
        "quantizer": {"name": "mine", "bits": 3, "mode": "a"},
    }
    (folder / "run.yaml").write_text(yaml_of(record))
    found = studio.configuring.answer(Given(source="runs/first"))
    assert found["values"] == {"precision": "fp32", "quantizer": {"name": "mine", "bits": 3}}
    with pytest.raises(TunesmithError, match="holds no run"):
        studio.configuring.answer(Given(source="runs"))


def test_what_is_asked_anew_replaces_what_waits(site: Path, studio: Studio) -> None:
    told: list[str] = []

    def ask(rank: int) -> None:
        try:
            studio.configuring.answer(Given(values={"seed": rank}), client="me")
            told.append("answered")
        except Outdated:
            told.append("outdated")

    with studio.forms.process._lock:  # somebody else's request is under way
        threads = [threading.Thread(target=ask, args=(rank,)) for rank in range(3)]
        for number, thread in enumerate(threads, 1):
            thread.start()
            while studio.forms.process._newest.get("me", 0) < number:
                time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert sorted(told) == ["answered", "outdated", "outdated"]


def test_what_is_under_way_is_given_up(site: Path, studio: Studio) -> None:
    """A plugin that never comes back does not keep its client waiting, nor is another one's request lost."""
    install(site, "mine", f"import time\ntime.sleep(60)\n{PLUGIN}")
    process = studio.forms.process
    threading.Timer(0.5, process.drop, ["me"]).start()
    started = time.monotonic()
    with pytest.raises(Outdated):
        process.ask("form", "me")
    assert time.monotonic() - started < 20
    (site / "tunesmith_quantizer_mine.py").write_text(PLUGIN)
    assert "mine" in quantizers(studio)


def sample(shape: dict[str, Any], usual: Any = None) -> Any:
    """A value of a shape; of numbers the default, for there are rules between them."""
    kind = shape["kind"]
    if kind in ("integer", "number", "union") and usual is not None:
        return usual
    if kind == "boolean":
        return not usual
    if kind in ("integer", "number"):
        low = shape.get("minimum", shape.get("exclusiveMinimum", 0))
        high = shape.get("maximum", shape.get("exclusiveMaximum", low + 2))
        return int(min(low + 1, high)) if kind == "integer" else (low + high) / 2
    if kind == "choice":
        return shape["choices"][-1]
    if kind == "list":
        return [sample(shape["item"])]
    if kind == "map":
        return {"a": sample(shape["item"])}
    if kind == "group":
        return {field["name"]: sample(field["shape"]) for field in shape["fields"][:1]}
    return sample(shape["members"][0]) if kind == "union" else "0123"


def selections(kind: dict[str, Any]) -> list[Any]:
    """Values of a kind with all options of each plugin: one after another, or together where there may be many."""
    given: dict[str, dict[str, Any]] = {}
    for plugin in kind["plugins"]:
        options = {option["name"]: sample(option["shape"], option.get("default")) for option in plugin["options"]}
        if options not in given.values():  # chat templates by the hundred have the same options
            given[plugin["name"]] = options
    return [given] if kind["many"] else [{"name": name, **options} for name, options in given.items()][:12]


@pytest.mark.slow
def test_every_option_of_everything_installed_goes_through_the_form(tmp_path: Path) -> None:
    """Form, values, YAML, configuration: no option is lost, unknown, or of another type on its way."""
    catalog, workspace = Catalog.discover(), Workspace(Path("runs"), tmp_path)
    kinds = {kind["name"]: selections(kind) for kind in form(catalog)["kinds"] if kind["plugins"]}
    for chosen in zip_longest(*kinds.values()):
        values = {name: value for name, value in zip(kinds, chosen, strict=True) if value}
        found = answer(Draft(tmp_path / "a.yaml", values=values), workspace, catalog)
        assert found["values"] == values and compose(tmp_path / "a.yaml", catalog=catalog).tree == values
        messages = [problem["message"] for problem in found["problems"]]
        assert not [one for one in messages if re.match(r"\w+\.\S+ cannot be |.*has no option", one)]
