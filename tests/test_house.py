"""The house: who may import whom, nothing goes round in circles, and no plugin knows its siblings by name."""

import ast
import inspect
import pkgutil
import re
import tomllib
from collections.abc import Iterator
from dataclasses import MISSING, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
import tunesmith
from tunesmith.kinds import KINDS
from tunesmith.options import options
from tunesmith.planning import RunOptions
from tunesmith.traits import TRAITS
from tunesmith_library_testing.parts import StubPlan

ROOT = Path(__file__).parents[1]
FILES = (*ROOT.glob("plugins/*/*/pyproject.toml"), *ROOT.glob("contrib/*/pyproject.toml"))
FOLDERS = sorted(file.parent for file in FILES)
LIBRARIES = [folder for folder in FOLDERS if folder.parent.name == "library"]
PLUGINS = [folder for folder in FOLDERS if folder not in LIBRARIES]
KERNEL = ROOT / "kernel" / "tunesmith"
# The order of the kernel's modules: each imports only from those before it. The command line stands on top of all.
ORDER = (
    *("errors", "messages", "files", "keys", "ranges", "validate", "generation", "types", "traits", "kinds"),
    *("addresses", "options", "markers", "private", "catalog", "planning", "hookspecs", "dialects", "upgrades"),
    *("compose", "selection", "instances", "runs", "wiring", "assemble", "launching", "pipeline"),
)


def package_of(folder: Path) -> Path:
    return next(path.parent for path in folder.glob("tunesmith_*/__init__.py"))


def modules(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if not {"tests", "skeleton"} & set(path.parts))


def imported(file: Path, *, deep: bool = True) -> Iterator[str]:
    """The modules that a file imports, with their full names; `deep`: inside functions too."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    nodes = ast.walk(tree) if deep else _outside_functions(tree)
    own = file.relative_to(next(path for path in file.parents if path.name.startswith("tunesmith")).parent)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join([*own.parts[:-1]][: len(own.parts) - node.level] if node.level else [])
            module = ".".join(filter(None, (base, node.module)))
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from _outside_functions(child)


# ---- imports ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: f"{folder.parent.name}-{folder.name}")
def test_a_plugin_imports_the_kernel_and_libraries_and_no_other_plugin(folder: Path) -> None:
    own = package_of(folder).name
    for file in modules(package_of(folder)):
        foreign = {name.partition(".")[0] for name in imported(file) if name.startswith("tunesmith_")} - {own}
        plugins = {name for name in foreign if not name.startswith("tunesmith_library_")}
        assert not plugins, f"{file.relative_to(ROOT)} imports {', '.join(plugins)}: put what both need into a library"


def test_libraries_stand_on_each_other_without_circles() -> None:
    graph = {}
    for folder in LIBRARIES:
        package = package_of(folder)
        names = {name.partition(".")[0] for file in modules(package) for name in imported(file)}
        graph[package.name] = {name for name in names if name.startswith("tunesmith_library_")} - {package.name}
    assert circles(graph) == []


@pytest.mark.parametrize("package", [KERNEL, *map(package_of, FOLDERS)], ids=lambda package: package.name)
def test_no_module_stands_on_one_that_stands_on_it(package: Path) -> None:
    """Imports for types and inside functions included; only a package's light class imports its parts in its hooks."""
    files = {".".join(file.relative_to(package.parent).with_suffix("").parts): file for file in modules(package)}
    graph = {}
    for name, file in files.items():
        plain = name.removesuffix(".__init__")
        found = {other.removesuffix(".__init__") for other in imported(file)}
        graph[plain] = {other for other in found if other in files or f"{other}.__init__" in files} - {plain}
        if not name.endswith("__init__"):
            graph[plain].discard(package.name)  # a name of the light class, for its type
    assert circles(graph) == []


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Every way round, by its first member."""
    found = []

    def walk(node: str, path: tuple[str, ...]) -> None:
        for other in sorted(graph.get(node, ())):
            if other == path[0]:
                found.append([*path])
            elif other > path[0] and other not in path:
                walk(other, (*path, other))

    for start in sorted(graph):
        walk(start, (start,))
    return found


def test_the_kernels_modules_look_upward_only() -> None:
    files = {file.stem: file for file in KERNEL.glob("*.py") if not file.stem.startswith("__")}
    assert set(files) == set(ORDER), "a module is missing from the order, or gone"
    for name, file in files.items():
        above = {found.split(".")[1] for found in imported(file, deep=False) if found.startswith("tunesmith.")} & set(
            ORDER
        )
        later = {other for other in above if ORDER.index(other) >= ORDER.index(name)}
        assert not {other for other in later if not _for_types(file, other)}, f"{name} imports {later}"
        assert not any(found.startswith("tunesmith.cli") for found in imported(file)), f"{name} knows the command line"


def _for_types(file: Path, module: str) -> bool:
    """Whether a file imports a module for its types alone."""
    text = file.read_text(encoding="utf-8")
    return not re.search(rf"^from tunesmith(\.{module} import| import .*\b{module}\b)", text, re.MULTILINE)


def test_the_kernel_stands_on_one_library() -> None:
    """That of configurations, which knows neither the kernel nor another library; some names of `tunesmith` are in
    libraries that are imported when they are asked for, and otherwise named for types alone."""
    below = "tunesmith_library_configuration"
    lent = {home.partition(".")[0] for home in tunesmith._HOME.values()} - {"tunesmith"}
    for file in modules(KERNEL):
        known = {name.partition(".")[0] for name in imported(file) if name.startswith("tunesmith_")}
        assert known <= {below, *lent}, file
        code = re.sub(r"(?m)^if TYPE_CHECKING:\n((    .*)?\n)*", "", file.read_text(encoding="utf-8"))
        assert not [name for name in lent if re.search(rf"(?m)^(from|import) {name}\b", code)], file
    for file in modules(ROOT / "plugins/library/configuration" / below):
        assert {name.partition(".")[0] for name in imported(file) if name.startswith("tunesmith")} <= {below}, file


# ---- what plugins know of each other ---------------------------------------------------------------------------------


_COSTLY = ("quantizer", "adapter", "optimizer")


@cache
def classes() -> dict[tuple[str, str], type]:
    """The plugins of the repository: (kind, name) -> class."""
    found = {}
    for folder in PLUGINS:
        points = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"].get(
            "entry-points", {}
        )
        for group, names in points.items():
            kind = group.removeprefix("tunesmith.")
            if kind in TRAITS or kind in KINDS:
                found |= {(kind, name): pkgutil.resolve_name(target) for name, target in names.items()}
    return found


@cache
def names_of(kind: str) -> frozenset[str]:
    return frozenset(name for of, name in classes() if of == kind)


def test_what_decides_over_memory_says_what_it_costs() -> None:
    """`tunesmith plan` has no table of quantizers, adapters and optimizers: each answers for itself."""
    silent = [cls for (kind, _), cls in classes().items() if kind in _COSTLY and not hasattr(cls, "estimate")]
    assert not silent, ", ".join(cls.__module__ for cls in silent)


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda folder: f"{folder.parent.name}-{folder.name}")
def test_no_list_of_siblings(folder: Path) -> None:
    """No collection of names of other plugins, and no comparison of a plan with one; a dialect writes configurations,
    and so has to name what is in them."""
    own = {name for (_, name), cls in classes().items() if cls.__module__.startswith(package_of(folder).name)}
    for file in modules(package_of(folder)):
        place = str(file.relative_to(folder))
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            texts = _texts(node)
            for kind in KINDS if len(texts) > 1 and folder.parent.name != "dialect" else ():
                listed = (names_of(kind) & texts) - own
                assert len(listed) < 2, f"{place}:{node.lineno} lists {kind}s: {', '.join(sorted(listed))}"  # type: ignore[attr-defined]
            asked = _asked(node)
            assert not asked, f"{place}:{node.lineno} asks the plan for {asked} by name: ask for a trait"  # type: ignore[attr-defined]


def _texts(node: ast.AST) -> set[str]:
    """The texts of a collection that is written out; the choices of a `Literal` are options, not siblings."""
    parts = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", [])
    collection = isinstance(node, ast.Dict | ast.List | ast.Set | ast.Tuple)
    return (
        {part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)}
        if collection
        else set()
    )


def _asked(node: ast.AST) -> str:
    """What a plan is asked by a plugin's name: `plan.uses("patch", "liger")`, `plan.name("adapter") == "lora"`."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("uses", "plugin"):
        texts = [item.value for item in node.args if isinstance(item, ast.Constant) and isinstance(item.value, str)]
        if len(texts) == 2 and texts[0] in KINDS and texts[1] in names_of(texts[0]):
            return "=".join(texts)
    if isinstance(node, ast.Compare):
        for side in (node.left, *node.comparators):
            if (
                isinstance(side, ast.Call)
                and isinstance(side.func, ast.Attribute)
                and side.func.attr in ("name", "names")
            ):
                others = [item for item in (node.left, *node.comparators) if item is not side]
                words = {item.value for item in others if isinstance(item, ast.Constant)} | set().union(
                    *map(_texts, others)
                )
                if any(isinstance(word, str) for word in words):
                    return ast.unparse(node)
    return ""


def test_what_is_looked_for_is_seen() -> None:
    """The searches above find what they are for."""
    assert _texts(ast.parse("('sft', 'dpo')", mode="eval").body) == {"sft", "dpo"}
    assert _texts(ast.parse("{'sft': 1}", mode="eval").body) == {"sft"}
    for source in (
        "plan.uses('patch', 'liger')",
        "plan.name('adapter') == 'lora'",
        "plan.name('stage') in ('sft', None)",
    ):
        assert _asked(ast.parse(source, mode="eval").body), source
    assert not _asked(ast.parse("plan.uses('patch')", mode="eval").body)
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]


# ---- twins -----------------------------------------------------------------------------------------------------------


@cache
def _required(cls: type) -> dict[str, Any]:
    return {option.name: _something(option.type) for option in options(cls) if option.default is MISSING}


def _something(annotation: Any) -> Any:
    return {int: 1, float: 1.0, bool: False}.get(annotation, [] if get_origin(annotation) is list else "given")


def made(cls: type) -> Any:
    """An instance with the defaults, and something for what has none."""
    return cls(**_required(cls))


def answers(address: tuple[str, str], other: tuple[str, Any], called: str, command: str = "train") -> list[Any]:
    """What a plugin says of a plan in which another plugin has a certain name."""
    (kind, name), (other_kind, plugin) = address, other
    instance = made(classes()[address])
    plan = StubPlan({kind: {name: instance}, other_kind: {called: plugin}}, command)
    found = instance.check(plan=plan) if hasattr(instance, "check") else []
    if hasattr(instance, "configured"):
        instance.configured(plan=plan)
    named = re.compile(rf"\b{other_kind}([=.]){called}\b")
    return [(*(named.sub(r"\1NAME", text) for text in (str(item.key), item.message)), item.severity) for item in found]


def _code(address: tuple[str, str]) -> tuple[str, frozenset[tuple[str, Any]]]:
    """The methods of a plugin: those that share all of them, as most templates do, say the same of a plan."""
    methods = inspect.getmembers(classes()[address], inspect.isroutine)
    return address[0], frozenset((name, getattr(it, "__func__", it)) for name, it in methods if name[:2] != "__")


TALKING = [address for address, cls in classes().items() if hasattr(cls, "check") or hasattr(cls, "configured")]
CHECKED = sorted({_code(address): address for address in sorted(TALKING, reverse=True)}.values())


@pytest.mark.parametrize("address", CHECKED, ids=".".join)
def test_a_twin_of_another_name_gets_the_same_answer(address: tuple[str, str]) -> None:
    """What a plugin says of a plan does not change when another plugin in it has another name."""
    for (kind, name), cls in sorted(classes().items()):
        if kind == address[0] or KINDS[kind].how_many == "installed":
            continue
        for command in ("train", "chat"):
            here, there = (answers(address, (kind, made(cls)), called, command) for called in (name, "twin"))
            assert here == there, f"{'.'.join(address)} on {kind}.{name}"


@cache
def fields() -> list[tuple[str, Any]]:
    """Every option of every plugin, of a run, and of the dataclasses within."""
    found: list[tuple[str, Any]] = []

    def add(where: str, cls: type) -> None:
        for option in options(cls):
            found.append((f"{where}.{option.name}", option))
            for inner in filter(is_dataclass, _within(option.type)):
                add(f"{where}.{option.name}", inner)

    add("run", RunOptions)
    for (kind, name), cls in classes().items():
        add(f"{kind}.{name}", cls)
    return found


def _within(annotation: Any) -> Iterator[Any]:
    """A type, and those that it is made of."""
    yield annotation
    for inner in () if get_origin(annotation) is Literal else get_args(annotation):
        yield from _within(inner)


def test_every_number_has_a_range_with_two_ends() -> None:
    for where, option in fields():
        if {int, float} & set(filter(_is_type, _within(option.type))):
            assert option.range is not None, f"{where}: between which numbers can it be?"
            assert None not in (option.range.low, option.range.high), f"{where}: {option.range} has one end only"


def _is_type(annotation: Any) -> bool:
    return isinstance(annotation, type)


def test_texts_that_name_files_are_held_to_what_files_are_called() -> None:
    """A text whose documentation says that it is a file or folder, or names one, is declared as such."""
    for where, option in fields():
        of_text = str in set(filter(_is_type, _within(option.type)))
        if of_text and re.match(
            r"(path of|folder|where the|file\b|model (on|to)\b|address of the (model|ref))", option.doc
        ):
            assert option.text is not None and option.text.path, f"{where}: {option.doc}"


def test_every_kind_with_traits_has_somebody_who_says_something() -> None:
    for kind in TRAITS:
        said = [
            cls
            for (of, _), cls in classes().items()
            if of == kind and inspect.getattr_static(cls, "traits", None) is not None
        ]
        assert said, f"no {kind} says anything of itself: is the class of its traits needed?"


def test_the_kernel_stays_small() -> None:
    """At most 1,800 lines of code: without blanks, comments, docstrings, and the folder of the command line."""
    files = [file for file in KERNEL.rglob("*.py") if "cli" not in file.relative_to(KERNEL).parts]
    assert sum(map(_lines_of_code, files)) <= 1_800


def _lines_of_code(file: Path) -> int:
    import io
    import tokenize

    text = file.read_text(encoding="utf-8")
    quiet = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    tokens = [token for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.type not in quiet]
    lines = {line for token in tokens for line in range(token.start[0], token.end[0] + 1)}
    for node in ast.walk(ast.parse(text)):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and ast.get_docstring(node, clean=False) is not None
        ):
            lines -= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    return len(lines)
