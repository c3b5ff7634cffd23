"""Discovery reads metadata alone; every error names the distribution and says what to do."""

import importlib.metadata
import sys

import pytest
from tunesmith import __version__
from tunesmith.catalog import Catalog, MissingPluginError
from tunesmith.errors import PluginError
from tunesmith_library_configuration.recipes import recipe_folders

GOOD = "from tunesmith import plugin\n\n\n@plugin\nclass Thing:\n    '''A thing.'''\n\n\nplain = object()\n"


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Installs fake distributions; nothing else is installed."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    everything, count = importlib.metadata.distributions, len(sys.path) - 1
    monkeypatch.setattr(
        importlib.metadata, "distributions", lambda: everything(path=[sys.path[0], *sys.path[count + 1 :]])
    )
    before = set(sys.modules)

    def install(name, points, version="1.0", requires=(), code=GOOD, where=folder):
        module = name.replace("-", "_")
        info = where / f"{module}-{version}.dist-info"
        info.mkdir(parents=True)
        lines = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}"]
        lines += [f"Requires-Dist: {requirement}" for requirement in requires]
        (info / "METADATA").write_text("\n".join(lines) + "\n")
        groups: dict[str, list[str]] = {}
        for address, target in points.items():
            group, _, point = address.rpartition(".")
            groups.setdefault(f"tunesmith.{group}", []).append(f"{point} = {target}")
        text = "\n".join(f"[{group}]\n" + "\n".join(lines) for group, lines in groups.items())
        (info / "entry_points.txt").write_text(text + "\n")
        (where / f"{module}.py").write_text(code)

    yield install
    for name in set(sys.modules) - before:
        if name.startswith("tunesmith_"):
            del sys.modules[name]


def test_discovery_imports_nothing(site):
    site("tunesmith-adapter-good", {"adapter.good": "tunesmith_adapter_good:Thing"}, "1.2", ["tunesmith>=0.1", "torch"])
    site("tunesmith-stage-bad", {"stage.bad": "tunesmith_stage_bad:Thing"}, code="raise SystemExit('imported')")
    catalog = Catalog.discover()
    assert [(entry.address, entry.origin, entry.kernel) for entry in catalog.entries()] == [
        ("adapter.good", "tunesmith-adapter-good 1.2", ">=0.1"),
        ("stage.bad", "tunesmith-stage-bad 1.0", ""),
    ]
    assert catalog.names("adapter") == ["good"]
    assert not {"tunesmith_adapter_good", "tunesmith_stage_bad"} & set(sys.modules)
    assert catalog.load(catalog.find("adapter", "good")).__name__ == "Thing"
    assert "tunesmith_adapter_good" in sys.modules and "tunesmith_stage_bad" not in sys.modules


def test_a_distribution_may_offer_several(site):
    target = "tunesmith_template_qwen:Thing"
    site("tunesmith-template-qwen", {"template.qwen": target, "template.qwen3": target, "other.x": target})
    assert Catalog.discover().names("template") == ["qwen", "qwen3"]
    assert len(Catalog.discover().entries()) == 2, "a group that is no kind is nobody's plugin"


def test_a_group_that_is_no_kind_is_named_with_the_one_that_was_meant(site):
    site("acme", {"trackers.console": "tunesmith_adapter_x:Thing", "recipes.acme": "acme"})
    catalog = Catalog.discover()
    (stray,) = catalog.strays
    told = "acme 1.0 offers console in the group tunesmith.trackers, which is no kind's; tunesmith.tracker is meant?"
    assert str(stray) == told
    with pytest.raises(MissingPluginError, match=r"tunesmith\.tracker is meant"):
        catalog.find("tracker", "console")


def test_the_first_on_the_path_is_the_one_that_counts(site, tmp_path, monkeypatch):
    site("tunesmith-adapter-x", {"adapter.x": "tunesmith_adapter_x:Thing"}, "2.0")
    site("tunesmith_adapter_x", {"adapter.x": "tunesmith_adapter_x:Thing"}, "1.0", where=tmp_path / "older")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "older")])
    assert Catalog.discover().find("adapter", "x").version == "2.0"


def test_two_distributions_with_one_name(site):
    site("tunesmith-adapter-x", {"adapter.x": "tunesmith_adapter_x:Thing"}, "2.0")
    site("other-thing", {"adapter.x": "other_thing:Thing"}, "0.3")
    catalog = Catalog.discover()
    assert catalog.names("adapter") == ["x"]
    with pytest.raises(PluginError) as caught:
        catalog.find("adapter", "x")
    assert str(caught.value) == (
        "adapter=x is offered by 2 distributions: other-thing 0.3, tunesmith-adapter-x 2.0.\n"
        "choose one: adapter=other-thing:x or adapter=tunesmith-adapter-x:x"
    )
    assert catalog.find("adapter", "other:x").distribution == catalog.find("adapter", "other-thing:x").distribution
    assert catalog.find("adapter", "tunesmith:x").address == "adapter.tunesmith:x"
    with pytest.raises(MissingPluginError, match=r"adapter=oth:x\.\nx is offered by .*other-thing 0\.3"):
        catalog.find("adapter", "oth:x")


def test_of_many_one_distributions_is_chosen_in_a_list(site):
    site("tunesmith-tracker-x", {"tracker.x": "tunesmith_tracker_x:Thing"}, "2.0")
    site("other-thing", {"tracker.x": "other_thing:Thing"}, "0.3")
    with pytest.raises(PluginError, match=r"tracker=\[other-thing:x\] or tracker=\[tunesmith-tracker-x:x\]"):
        Catalog.discover().find("tracker", "x")


def test_two_distributions_with_the_name_of_a_default_break_nobody(site, monkeypatch):
    """Who asked for neither gets the project's own."""
    monkeypatch.setattr("tunesmith.catalog.known_distributions", lambda: {"adapter.x": "tunesmith-adapter-x"})
    site("tunesmith-adapter-x", {"adapter.x": "tunesmith_adapter_x:Thing"}, "2.0")
    site("other-thing", {"adapter.x": "other_thing:Thing"}, "0.3")
    assert Catalog.discover().find("adapter", "x", asked=False).distribution == "tunesmith-adapter-x"
    assert list(Catalog.discover().classes("adapter")) == ["x"]


def test_only_the_projects_own_are_told_to_be_installed_anew(site, monkeypatch):
    monkeypatch.setattr("tunesmith.catalog.known_distributions", lambda: {"adapter.x": "tunesmith-adapter-x"})
    site("tunesmith-adapter-x", {"adapter.x": "tunesmith_adapter_x:Thing"}, "2.0", code="1 / 0")
    catalog = Catalog.discover()
    with pytest.raises(PluginError, match="pip install --upgrade --force-reinstall tunesmith-adapter-x"):
        catalog.load(catalog.find("adapter", "x"))


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("import surely_not_there", "ModuleNotFoundError: No module named 'surely_not_there'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("", "AttributeError: module 'tunesmith_adapter_x' has no attribute 'Thing'"),
    ],
)
def test_a_plugin_that_cannot_be_imported(site, code, cause):
    site("tunesmith-adapter-x", {"adapter.x": "tunesmith_adapter_x:Thing"}, "2.0", code=code)
    catalog = Catalog.discover()
    with pytest.raises(PluginError) as caught:
        catalog.load(catalog.find("adapter", "x"))
    assert str(caught.value) == (
        f"adapter=x (tunesmith-adapter-x 2.0) cannot be imported: {cause}\ntell the authors of the plugin"
    )
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("requirement", ["tunesmith>=99", "tunesmith (>=99)", "tunesmith[testing] >=99,<100"])
def test_a_plugin_for_another_kernel_is_not_imported(site, requirement):
    site("tunesmith-adapter-x", {"adapter.x": "tunesmith_adapter_x:Thing"}, requires=[requirement], code="1 / 0")
    catalog = Catalog.discover()
    with pytest.raises(PluginError) as caught:
        catalog.load(catalog.find("adapter", "x"))
    assert str(caught.value).startswith("adapter=x (tunesmith-adapter-x 1.0) needs tunesmith >=99")
    assert str(caught.value).endswith(
        f", installed is {__version__}.\npip install --upgrade tunesmith tunesmith-adapter-x"
    )


@pytest.mark.parametrize(
    "requirement", ["tunesmith", "tunesmith>=0.1", "tunesmith-suite>=99", 'tunesmith>=99; extra == "dev"']
)
def test_a_plugin_for_this_kernel(site, requirement):
    site("tunesmith-adapter-x", {"adapter.x": "tunesmith_adapter_x:Thing"}, requires=[requirement])
    catalog = Catalog.discover()
    assert catalog.load(catalog.find("adapter", "x")).__name__ == "Thing"


def test_what_is_no_plugin(site):
    site("tunesmith-adapter-x", {"adapter.x": "tunesmith_adapter_x:plain"})
    catalog = Catalog.discover()
    with pytest.raises(PluginError) as caught:
        catalog.load(catalog.find("adapter", "x"))
    assert str(caught.value) == (
        "adapter=x (tunesmith-adapter-x 1.0): tunesmith_adapter_x:plain is not a class with @plugin; "
        "tell the authors of the plugin."
    )


@pytest.mark.parametrize(
    ("chosen", "names", "restriction"),
    [
        ("", ["a", "b"], ""),
        ("tunesmith-adapter-a", ["a"], "TUNESMITH_PLUGINS=tunesmith-adapter-a hides other plugins"),
        ("adapter.b , ", ["b"], "TUNESMITH_PLUGINS=adapter.b ,  hides other plugins"),
        ("adapter.a,adapter.b", ["a", "b"], ""),
        ("none", [], "TUNESMITH_PLUGINS=none hides other plugins; nothing is called none"),
        ("a", ["a"], "TUNESMITH_PLUGINS=a hides other plugins"),
        ("adapter=b", ["b"], "TUNESMITH_PLUGINS=adapter=b hides other plugins"),
        ("adapter-b", ["b"], "TUNESMITH_PLUGINS=adapter-b hides other plugins"),
        ("adapter", ["a", "b"], ""),
    ],
)
def test_the_environment_restricts_the_plugins(site, monkeypatch, chosen, names, restriction):
    for name in "ab":
        site(f"tunesmith-adapter-{name}", {f"adapter.{name}": f"tunesmith_adapter_{name}:Thing"})
    monkeypatch.setenv("TUNESMITH_PLUGINS", chosen)
    catalog = Catalog.discover()
    assert catalog.names("adapter") == names
    assert catalog.restriction == restriction
    with pytest.raises(MissingPluginError) as caught:
        catalog.find("adapter", "zzz")
    for name in {"a", "b"} - set(names):
        with pytest.raises(MissingPluginError) as hidden:
            catalog.find("adapter", name)
        assert f"adapter={name} is installed, but hidden.\n{restriction}" in str(hidden.value)
        assert hidden.value.distribution == ""
    assert (restriction in str(caught.value)) and ("hides" in str(caught.value)) == bool(restriction)


def test_a_known_plugin_that_is_not_installed(monkeypatch):
    known = {"adapter.oft": "tunesmith-adapter-oft", "adapter.lora": "tunesmith-adapter-lora"}
    monkeypatch.setattr("tunesmith.catalog.known_distributions", lambda: known)
    with pytest.raises(MissingPluginError) as caught:
        Catalog([]).find("adapter", "oft")
    assert str(caught.value) == "no installed plugin provides adapter=oft.\npip install tunesmith-adapter-oft"
    assert caught.value.distribution == "tunesmith-adapter-oft"
    with pytest.raises(MissingPluginError, match="known: lora, oft   did you mean lora") as caught:
        Catalog([]).find("adapter", "lroa")
    assert caught.value.distribution is None and "pip install" not in str(caught.value)
    with pytest.raises(MissingPluginError, match="write your own: tunesmith new adapter xyz"):
        Catalog([]).find("adapter", "xyz")


def test_a_catalog_of_classes_at_hand(catalog, plugins):
    entry = catalog.find("adapter", "lora")
    assert catalog.load(entry) is plugins["adapter.lora"]
    assert entry.version == "local" and entry.address == "adapter.lora"
    kinds = [entry.kind for entry in catalog.entries()]
    assert kinds.index("model") < kinds.index("data") < kinds.index("adapter") < kinds.index("exporter")


def test_recipes_are_found_through_their_package(site, tmp_path):
    site("tunesmith-recipes", {"recipes.mine": "tunesmith_recipes"})
    site("tunesmith-gone", {"recipes.gone": "surely_not_there"})
    assert recipe_folders() == [], "neither is a package with a folder"
    folder = tmp_path / "site" / "tunesmith_more"
    folder.mkdir()
    (folder / "__init__.py").touch()
    site("tunesmith-more", {"recipes.more": "tunesmith_more"})
    assert recipe_folders() == [folder]


def test_a_distribution_that_is_half_installed_is_none(tmp_path, monkeypatch):
    """While pip is at work, and where it was killed, entry points stand there without a name."""
    folder = tmp_path / "half-1.0.dist-info"
    folder.mkdir()
    (folder / "entry_points.txt").write_text("[tunesmith.stage]\nhalf = half:Half\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert "half" not in Catalog.discover().names("stage")
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: half\nVersion: 1.0\n")
    assert "half" in Catalog.discover().names("stage")
