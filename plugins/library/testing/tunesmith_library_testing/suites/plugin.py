"""What every plugin keeps to: its distribution, its options, its hooks, and what its import costs."""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import re
import sys
from pathlib import Path
from typing import Any, ClassVar

import pluggy
import pytest
from tunesmith import hookspecs, kinds
from tunesmith.catalog import known_distributions
from tunesmith.options import is_plugin, options
from tunesmith.planning import refuse
from tunesmith.types import Problem
from tunesmith.validate import instance, structured

from tunesmith_library_testing.light import imported_by_check, imported_by_file, imported_by_modules, points_of
from tunesmith_library_testing.parts import StubPlan

_OF_DISTRIBUTION = ("test_names_follow_the_rule", "test_requires_the_kernel", "test_readme")
_OF_CHECK = ("test_knows_nobody_by_name", "test_check_is_light")  # of a plugin that has this hook


@functools.cache
def _hooks_of(plugin: type) -> dict[str, Any]:
    manager = pluggy.PluginManager("tunesmith")
    found = {name: manager.parse_hookimpl_opts(plugin, name) for name in dir(plugin)}
    return {(made["specname"] or name): made for name, made in found.items() if made is not None}


class PluginSuite:
    """The tests of every plugin; the suite of its kind adds to them."""

    kind: ClassVar[str]  # set by the suite of the kind
    plugin: ClassVar[type]  # the class under test
    options: ClassVar[dict[str, Any]] = {}  # with which the tests build it; required fields must be here
    one_file: ClassVar[bool] = False  # True: a file that configurations name, `loss=my.py:Mine`, without a distribution
    deviations: ClassVar[dict[str, str]] = {}  # standard tests that this class replaces: name -> why

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        guard = "test_no_standard_test_is_overridden"
        if guard in cls.__dict__ and not _is_standard(cls):
            raise TypeError(f"{cls.__name__} overrides {guard}; give the reason in `deviations` instead")

    @classmethod
    def entry_point(cls) -> importlib.metadata.EntryPoint:
        """The entry point that names the plugin (if there are several, the first that is no alias)."""
        package = cls.plugin.__module__.split(".")[0]
        group = f"tunesmith.{cls.kind}"
        aliases = getattr(getattr(cls.plugin, "traits", None), "aliases", ())
        found = [point for point in points_of(group) if point.module.startswith(package)]
        for point in sorted(found, key=lambda point: point.name in aliases):
            if point.load() is cls.plugin:
                return point
        names = ", ".join(f"{point.name} = {point.value}" for point in found) or "none of this package"
        pytest.fail(
            f"no entry point of group {group} names {cls.plugin.__qualname__} (found: {names}). "
            f"Declare it in pyproject.toml and install: pip install --no-deps -e ."
        )

    @classmethod
    def name(cls) -> str:
        """The name under which the plugin is selected: of its entry point, or of the class in one file."""
        return cls.plugin.__name__.lower() if cls.one_file else cls.entry_point().name

    @classmethod
    def idle_tests(cls) -> frozenset[str]:
        """The standard tests that say nothing of this plugin, and are not collected."""
        without_check = _OF_CHECK if "check" not in _hooks_of(cls.plugin) else ()
        return frozenset((*without_check, *(_OF_DISTRIBUTION if cls.one_file else ())))

    @classmethod
    def make(cls, **overrides: Any) -> Any:
        """An instance, built as the kernel builds it: options merged into the fields and validated."""
        node, problems = structured(cls.plugin, {**cls.options, **overrides}, (cls.kind,), cls.plugin.__name__)
        refuse(problems, {})
        return instance(cls.plugin, node)

    @classmethod
    def hooks(cls) -> dict[str, Any]:
        """The hooks that the class implements: name -> pluggy's options of the implementation."""
        return dict(_hooks_of(cls.plugin))

    def manager(self, *others: Any, **overrides: Any) -> pluggy.PluginManager:
        """A manager in which an instance is registered, beside other plugins; overrides are options."""
        manager = pluggy.PluginManager("tunesmith")
        manager.add_hookspecs(hookspecs)
        for other in (*others, self.make(**overrides)):
            manager.register(other)
        return manager

    def test_no_standard_test_is_overridden(self) -> None:
        """A standard test may only be replaced with a reason: an xfail mark with one, or an entry in `deviations`."""
        cls = type(self)
        silent = []
        for name in _standard_tests(cls):
            owner = next(base for base in cls.__mro__ if name in base.__dict__)
            if _is_standard(owner) or cls.deviations.get(name):
                continue
            marks = getattr(owner.__dict__[name], "pytestmark", [])
            if not any(mark.name == "xfail" and mark.kwargs.get("reason") for mark in marks):
                silent.append(name)
        assert not silent, f"{cls.__name__} replaces {', '.join(silent)} without a reason in `deviations`"
        unknown = set(cls.deviations) - set(_standard_tests(cls))
        assert not unknown, f"`deviations` names no standard test: {', '.join(sorted(unknown))}"

    def test_names_follow_the_rule(self) -> None:
        """Distribution `tunesmith-<kind>-<name>`, import package `tunesmith_<kind>_<name>`."""
        point = self.entry_point()
        assert point.dist is not None
        distribution = re.sub(r"[-_.]+", "-", point.dist.name).lower()
        assert distribution.startswith(f"tunesmith-{self.kind}-"), f"distribution {distribution}"
        assert point.module.split(".")[0] == distribution.replace("-", "_")
        assert re.fullmatch(r"[a-z][a-z0-9_]*", point.name), f"entry point {point.name!r}: use a-z, 0-9 and _"

    def test_requires_the_kernel(self) -> None:
        """The metadata declares `tunesmith`, with the version whose hooks the plugin was written for."""
        point = self.entry_point()
        assert point.dist is not None
        requirements = [re.match(r"[\w.-]+", text)[0] for text in point.dist.requires or ()]  # type: ignore[index]
        assert "tunesmith" in requirements, f"dependencies of {point.dist.name}: {requirements}"

    def test_import_is_light(self) -> None:
        """Importing the package imports nothing heavy: `tunesmith --help` stays quick."""
        module = self.plugin.__module__ if self.one_file else self.entry_point().module
        imported = (
            imported_by_file(module) if self.one_file else imported_by_modules(self.kind, tuple(sys.path))[module]
        )
        assert not imported, f"importing {module} imports {imported}; move it into the hooks"

    def test_readme(self) -> None:
        """The README beside the package has the markers between which the table of options is generated."""
        package = sys.modules[self.plugin.__module__.split(".")[0]]
        folder = Path(str(package.__file__)).parent.parent
        if not (folder / "pyproject.toml").is_file():
            pytest.skip("installed from a wheel: no README beside it")
        readme = (folder / "README.md").read_text(encoding="utf-8")
        assert readme.startswith("# "), "README.md opens with a title"
        start, end = readme.find("<!-- options -->"), readme.find("<!-- /options -->")
        assert 0 <= start < end, "README.md needs the lines <!-- options --> and <!-- /options -->"

    def test_is_a_plugin(self) -> None:
        """`@plugin` stands on the class itself, and a docstring says what it is."""
        assert is_plugin(self.plugin), f"put @plugin above class {self.plugin.__qualname__}"
        own = self.plugin.__dict__.get("__doc__") or ""
        assert own.strip() and not own.startswith(f"{self.plugin.__name__}("), "the class needs a docstring"

    def test_every_option_is_documented(self) -> None:
        """Each field has a comment of one line: it is the text of --help, the web form and the reference."""
        silent = list(_undocumented(self.plugin))
        assert not silent, f"fields without a comment behind or above them: {', '.join(silent)}"

    def test_options_are_a_schema(self) -> None:
        """The fields are an OmegaConf structured config, and the options survive being written as YAML and read."""
        from omegaconf import OmegaConf

        node, problems = structured(self.plugin, self.options, (self.kind,), self.plugin.__name__)
        refuse(problems, {})
        read: Any = OmegaConf.to_container(OmegaConf.create(OmegaConf.to_yaml(node)))
        again, problems = structured(self.plugin, read, (self.kind,), self.plugin.__name__)
        refuse(problems, {})
        assert again == node
        assert isinstance(instance(self.plugin, again), self.plugin)

    def test_hooks_exist(self) -> None:
        """No misspelt hook, no argument that the hook does not have."""
        try:
            self.manager().check_pending()
        except pluggy.PluginValidationError as error:
            pytest.fail(f"{error}")
        if self.kind != "command":
            assert self.hooks(), f"{self.plugin.__qualname__} implements no hook: put @hookimpl above its methods"

    def test_hooks_belong_to_the_kind(self) -> None:
        """An exclusive hook is implemented by its kind only; any plugin may wrap one."""
        owners = {**kinds.EXCLUSIVE, **{hook: (kind,) for hook, kind in kinds.ROUTED.items()}}
        for hook, made in self.hooks().items():
            if hook in owners and not made["wrapper"]:
                assert self.kind in owners[hook], (
                    f"{hook} belongs to {' and '.join(owners[hook])}; as {self.kind}: @hookimpl(wrapper=True)"
                )

    def test_knows_nobody_by_name(self) -> None:
        """What it says of a plan does not hang on what another plugin is called, only on what that says of itself."""
        instance = self.make()
        for address in known_distributions():
            kind, _, name = address.partition(".")
            if kind == self.kind or kinds.KINDS[kind].how_many == "installed":
                continue
            here, there = (self._said_beside(instance, kind, called) for called in (name, "stranger"))
            assert here == there, f"check takes any {kind} that is called {name} for the one it knows: ask its traits"

    def _said_beside(self, instance: Any, kind: str, name: str) -> list[tuple[str, str]]:
        """The problems of a plan with a plugin that says nothing of itself, without its name."""
        plan = StubPlan({self.kind: {"this": instance}, kind: {name: None}})
        named = re.compile(rf"\b{kind}([=.]){name}\b")
        found = instance.check(plan=plan)
        return [(named.sub(r"\1NAME", str(item.key)), named.sub(r"\1NAME", item.message)) for item in found]

    def test_check_is_light(self) -> None:
        """`check` answers with problems, without importing anything heavy."""
        answer = self.make().check(plan=StubPlan({self.kind: {"this": self.make()}}))
        assert isinstance(answer, list) and all(isinstance(problem, Problem) for problem in answer), answer
        imported = imported_by_check(self.plugin, self.kind, self.options)
        assert not imported, f"check imports {imported}"


def _undocumented(cls: type, prefix: str = "") -> Any:
    """The names of fields without documentation, also in nested dataclasses."""
    for option in options(cls):
        if not option.doc:
            yield f"{prefix}{option.name}"
        for nested in _dataclasses_in(option.type):
            yield from _undocumented(nested, f"{prefix}{option.name}.")


def _dataclasses_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _dataclasses_in(argument)


def _standard_tests(cls: type) -> list[str]:
    return sorted(
        {name for base in cls.__mro__ if _is_standard(base) for name in vars(base) if name.startswith("test")}
    )


def _is_standard(cls: type) -> bool:
    return cls.__module__.startswith("tunesmith_library_testing.")
