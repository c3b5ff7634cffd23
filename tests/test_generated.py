"""What is generated from the code is up to date."""

import ast
import importlib.util
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from tunesmith import hookspecs, types
from tunesmith.traits import TRAITS

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "docs/tools/generate.py"


@pytest.mark.skipif(
    f"click=={metadata.version('click')}" not in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines(),
    reason="docs/commands.md has helps as the click of constraints.txt shows them",
)
def test_nothing_is_stale() -> None:
    """Hooks, tables of options, reference, lists: `python docs/tools/generate.py` would change nothing."""
    done = subprocess.run([sys.executable, str(PROGRAM), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_the_table_of_templates_is_not_stale() -> None:
    """Every template passes its checks, and the page says with which models' own texts it was compared."""
    program = ROOT / "docs/tools/template_table.py"
    done = subprocess.run([sys.executable, str(program), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_tables_of_llamafactory_are_not_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys, former names, variables and example files, as the translation itself has them."""
    monkeypatch.syspath_prepend(str(ROOT / "docs/tools"))
    described = importlib.util.spec_from_file_location("llamafactory_table", ROOT / "docs/tools/llamafactory_table.py")
    assert described is not None and described.loader is not None
    program = importlib.util.module_from_spec(described)
    described.loader.exec_module(program)
    assert program.main(check=True) == 0


def test_every_hook_is_a_heading() -> None:
    headings = [
        line for line in (ROOT / "docs/hooks.md").read_text(encoding="utf-8").splitlines() if line[:4] == "### "
    ]
    for name, hook in vars(hookspecs).items():
        if hasattr(hook, "tunesmith_spec"):
            assert len([line for line in headings if line.startswith(f"### `{name}(")]) == 1


def test_every_object_that_crosses_a_hook_is_described() -> None:
    """What the hooks' annotations name, and those that stand under Any, are headings of the page of types."""
    page = (ROOT / "docs/types.md").read_text(encoding="utf-8")
    headings = set(re.findall(r"^### (\w+)", page, re.M))
    source = (ROOT / "kernel/tunesmith/hookspecs.py").read_text(encoding="utf-8")
    crossing = set(re.findall(r"\btypes\.(\w+)", source)) | {"Plan", "Origin"}
    assert len(crossing) > 20
    assert not {*crossing, "Estimate", "Chat", "EvaluationData", "Evaluation"} - headings
    assert {cls.__name__ for cls in TRAITS.values()} <= headings
    for name in ("LossOutput", "TrainingJob", "ModelHandle", "ModelSource"):  # every field has its row
        rows = page.partition(f"\n### {name}\n")[2].partition("\n### ")[0]
        assert re.findall(r"^\| `(\w+)` \|", rows, re.M) == list(getattr(types, name).__dataclass_fields__)


def _names_of(module: str) -> set[str]:
    """What a module of the kernel or of a library has at its top, without importing it."""
    package, _, rest = module.partition(".")
    home = "kernel" if package == "tunesmith" else f"plugins/library/{package.removeprefix('tunesmith_library_')}"
    path = ROOT / home / package / rest.replace(".", "/")
    file = next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)
    assert file is not None, f"docs/interface.md names {module}, which does not exist"
    found = set[str]()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        match node:
            case ast.ClassDef() | ast.FunctionDef():
                found.add(node.name)
            case ast.ImportFrom():
                found |= {item.asname or item.name for item in node.names}
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                found.add(name)
    return found


def test_names_of_the_public_interface_exist() -> None:
    """What the page says that plugins may import is there, in the kernel and in libraries."""
    page = (ROOT / "docs/interface.md").read_text(encoding="utf-8")
    dotted = re.findall(r"`(tunesmith(?:_library_\w+)?(?:\.[a-z]\w*)*)\.(\w+)`", page.partition("## You need")[2])
    listed = [
        (module, name)
        for module, names in re.findall(r"^\| `(tunesmith\.\w+)` \| (`.*) \|$", page, re.M)
        for name in re.findall(r"`(\w+)`", names)
    ]
    assert len(dotted) > 40 and len(listed) > 80
    missing = [f"{module}.{name}" for module, name in (*dotted, *listed) if name not in _names_of(module)]
    assert not missing


def _promised() -> set[str]:
    page = (ROOT / "docs/interface.md").read_text(encoding="utf-8")
    return set(re.findall(r"`(tunesmith_library_\w+(?:\.\w+)+)`", page.partition("## You need")[2]))


def _exported(library: str) -> set[str]:
    """What a library has in its `__all__`."""
    file = ROOT / "plugins/library" / library.removeprefix("tunesmith_library_") / library / "__init__.py"
    lists = [node.value for node in ast.parse(file.read_text(encoding="utf-8")).body if isinstance(node, ast.Assign)]
    return {f"{library}.{name}" for value in lists if isinstance(value, ast.List) for name in ast.literal_eval(value)}


def test_what_examples_import_is_promised() -> None:
    """Whoever copies a page's example stands on nothing that may go away unsaid."""
    pages = [*ROOT.glob("docs/kinds/*.md"), *(ROOT / "docs" / f"{name}.md" for name in ("plugins", "tutorial", "rows"))]
    imports = r"^ *from (tunesmith_library_\w+)((?:\.\w+)*) import ([\w, ]+)"
    used = {
        (library, f"{library}{module}.{name.strip()}")
        for page in pages
        for library, module, names in re.findall(imports, page.read_text(encoding="utf-8"), re.M)
        for name in names.split(",")
    }
    assert len(used) > 40
    missing = {name for library, name in used if name not in _promised() | _exported(library)}
    suite = re.compile(r"tunesmith_library_testing\.(suites\.\w+\.)?\w+Suite")  # promised as a whole
    assert not {name for name in missing if not suite.fullmatch(name)}, "add it to the table of docs/interface.md"


@pytest.fixture
def generate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The program as a module, with an empty repository."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    specification = importlib.util.spec_from_file_location("generate", PROGRAM)
    assert specification and specification.loader
    module = importlib.util.module_from_spec(specification)
    monkeypatch.setitem(sys.modules, "generate", module)
    specification.loader.exec_module(module)
    projects = module.supported()
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "supported", lambda: projects)
    return module


def test_check_names_what_is_stale(generate: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generate.OUTPUTS = [lambda: iter([(tmp_path / "list.txt", "new\n")])]
    assert generate.main(check=True) == 1
    assert capsys.readouterr().out == "stale, run make generate: list.txt\n" and not (tmp_path / "list.txt").exists()
    assert generate.main(check=False) == 0
    assert generate.main(check=True) == 0
    (tmp_path / "list.txt").write_text("old\n", encoding="utf-8")
    assert generate.main(check=True) == 1


def test_extras_of_the_suite(generate: Any, tmp_path: Path) -> None:
    marks = "# extras, generated by docs/tools/generate.py\n# end of the extras\n"
    head = '[project]\nname = "suite"\n\n[project.optional-dependencies]\n'
    (tmp_path / "pyproject.toml").write_text(f"{head}{marks}\n[tool.other]\nkept = true\n", encoding="utf-8")
    ((_, text),) = generate.extras()
    written = tomllib.loads(text)
    extras = written["project"]["optional-dependencies"]
    assert written["tool"] == {"other": {"kept": True}}
    assert {"tunesmith-adapter-lora", "tunesmith-adapter-full"} <= set(extras["adapter"]) <= set(extras["all"])
    assert "tunesmith-adapter-lora" in extras["default"] and "tunesmith-adapter-full" not in extras["default"]
    (tmp_path / "pyproject.toml").write_text(head, encoding="utf-8")
    with pytest.raises(SystemExit, match="needs the lines"):
        list(generate.extras())
