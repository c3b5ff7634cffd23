"""The shape of the repository: one rule maps all names, modules stay small, and imports are declared."""

import ast
import itertools
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLUGINS = sorted(
    path.parent for path in (*ROOT.glob("plugins/*/*/pyproject.toml"), *ROOT.glob("contrib/*/pyproject.toml"))
)
SUPPORTED = [folder for folder in PLUGINS if "plugins" in folder.parts]
LIBRARIES = [folder for folder in SUPPORTED if folder.parent.name == "library"]
# import names that differ from the name of their distribution
IMPORT_NAMES = {
    "compressed-tensors": "compressed_tensors",
    "flash-attn": "flash_attn",
    "liger-kernel": "liger_kernel",
    "llama-cpp-python": "llama_cpp",
    "mlflow-skinny": "mlflow",
    "nvidia-ml-py": "pynvml",
    "pillow": "PIL",
    "pyyaml": "yaml",
    "huggingface-hub": "huggingface_hub",
}


def _project(folder: Path) -> dict:
    return tomllib.loads((folder / "pyproject.toml").read_text())["project"]


def _sources(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*.py") if not {"tests", "skeleton"} & set(path.parts)]


def test_there_are_plugins() -> None:
    assert len(SUPPORTED) > 15


@pytest.mark.parametrize("folder", SUPPORTED, ids=lambda folder: f"{folder.parent.name}-{folder.name}")
def test_names_follow_the_rule(folder: Path) -> None:
    kind, name = folder.parent.name, folder.name
    project = _project(folder)
    assert project["name"] == f"tunesmith-{kind}-{name}"
    package = f"tunesmith_{kind}_{name}"
    assert (folder / package / "__init__.py").is_file()
    if folder not in LIBRARIES:
        (group,) = project["entry-points"]
        assert group == f"tunesmith.{kind}"
        assert all(target.startswith(package) for target in project["entry-points"][group].values())
    assert project["license"] == "Apache-2.0"
    on_kernel = any(re.match(r"tunesmith>=", requirement) for requirement in project["dependencies"])
    assert on_kernel != (package == "tunesmith_library_configuration"), "all but what the kernel itself stands on"


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda folder: folder.name)
def test_a_plugin_is_complete(folder: Path) -> None:
    lines = (folder / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) >= 10
    tests = list((folder / "tests").glob("test_*.py"))
    assert tests
    suited = any("Suite)" in path.read_text(encoding="utf-8") for path in tests)
    assert suited or folder in LIBRARIES, "no conformance class"


@pytest.mark.parametrize("folder", [ROOT / "kernel", *PLUGINS], ids=lambda folder: folder.name)
def test_a_wheel_carries_its_licence_and_its_types(folder: Path) -> None:
    """The licence is a link to the root's, which the build follows."""
    licence = folder / "LICENSE"
    assert licence.is_symlink() and licence.resolve() == ROOT / "LICENSE", "ln -s ../…/LICENSE LICENSE"
    packages = [path.parent for path in folder.glob("tunesmith*/__init__.py")]
    assert packages and all((package / "py.typed").is_file() for package in packages), "touch PACKAGE/py.typed"


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda folder: folder.name)
def test_imports_are_declared(folder: Path) -> None:
    """A plugin imports the standard library, the kernel, itself, and what its pyproject.toml names."""
    project = _project(folder)
    requirements = [
        *project["dependencies"],
        *itertools.chain.from_iterable(project.get("optional-dependencies", {}).values()),
    ]
    declared = {re.split(r"[\[<>=!~ ;]", requirement)[0] for requirement in requirements}
    allowed = {IMPORT_NAMES.get(name, name.replace("-", "_")) for name in declared}
    allowed |= {path.name for path in folder.iterdir() if path.is_dir()}
    for path in _sources(folder):
        imported = _imported(ast.parse(path.read_text(encoding="utf-8")))
        foreign = {name for name in imported if name not in allowed and name not in sys.stdlib_module_names}
        assert not foreign, f"{path.relative_to(ROOT)} imports {', '.join(sorted(foreign))} without declaring it"


def _imported(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add((node.module or "").partition(".")[0])
    return names


def test_equal_libraries_have_equal_lower_bounds() -> None:
    """Plugins are tested together, so that no one knows of a lower version; where it differs a comment says why."""
    bounds: dict[str, dict[str, list[str]]] = {}
    for folder in [ROOT, ROOT / "kernel", *SUPPORTED]:
        lines = (folder / "pyproject.toml").read_text(encoding="utf-8").splitlines()
        said = "\n".join(line for line in lines if not re.search(r"[\],]  # \w", line))
        for name, least in re.findall(r'"([\w.-]+)(?:\[[\w,]+\])?>=([\d.]+)', said):
            bounds.setdefault(name.lower(), {}).setdefault(least, []).append(str(folder.relative_to(ROOT)))
    several = {name: found for name, found in bounds.items() if len(found) > 1}
    assert not several, "one bound for each library"


def test_modules_stay_small() -> None:
    """At most 300 lines; the hook specifications are prose in one file on purpose."""
    sources = [path for part in ("kernel", "plugins", "contrib", "docs") for path in _sources(ROOT / part)]
    long = {
        str(path.relative_to(ROOT)): count
        for path in sources
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > 300 and path.name != "hookspecs.py"
    }
    assert not long


def test_modules_of_the_page_stay_small() -> None:
    """As those in Python: 300 lines of 120 columns; what others wrote stands in `vendor`."""
    pages = [path for path in ROOT.glob("plugins/*/*/tunesmith_*/**/*.js") if "vendor" not in path.parts]
    assert pages
    wrong = []
    for path in pages:
        lines = path.read_text(encoding="utf-8").splitlines()
        wide = [f"{path.relative_to(ROOT)}:{at}" for at, line in enumerate(lines, 1) if len(line) > 120]
        wrong += [*wide, *([f"{path.relative_to(ROOT)}: {len(lines)} lines"] if len(lines) > 300 else [])]
    assert not wrong


def test_the_kernel_never_imports_torch() -> None:
    heavy = {"torch", "transformers", "datasets", "peft", "trl", "accelerate", "numpy"}
    for path in _sources(ROOT / "kernel" / "tunesmith"):
        found = _imported(ast.parse(path.read_text(encoding="utf-8"))) & heavy
        assert not found, f"{path} imports {found}"


def test_nothing_trusts_remote_code_or_pickles_by_default() -> None:
    for path in (path for part in ("kernel", "plugins", "contrib") for path in _sources(ROOT / part)):
        text = path.read_text(encoding="utf-8")
        assert "trust_remote_code=True" not in text, path
        assert not re.search(r"trust_remote_code: bool = True", text), path
        assert not re.search(r"^import pickle|pickle\.load|torch\.load\((?!.*weights_only=True)", text, re.M), path
