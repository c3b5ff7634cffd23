"""Installed for real, into empty environments: the kernel alone, the least that trains, a third party's plugins."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
NEEDED = (
    *("model/transformers", "template/chatml", "data/datasets", "format/alpaca", "hub/local"),
    *("format/openai", "stage/sft", "adapter/lora", "trainer/transformers"),
)


def environment(folder: Path, *requirements: str) -> Path:
    """A virtual environment with these requirements; its python."""
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, str(folder)], check=True)
    python = folder / "bin" / "python"
    variables = {**os.environ, "UV_FIND_LINKS": os.environ.get("UV_FIND_LINKS", os.environ.get("PIP_FIND_LINKS", ""))}
    command = [*uv, "pip", "install", "--quiet", "--python", str(python), "--constraint", str(ROOT / "constraints.txt")]
    subprocess.run([*command, *requirements], check=True, env=variables, cwd=ROOT)
    return python


def local(*folders: str) -> list[str]:
    """Distributions of the repository with all of it that they stand on, as pip takes folders."""
    known = {}
    for file in (ROOT / "kernel/pyproject.toml", *ROOT.glob("plugins/*/*/pyproject.toml")):
        project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
        needs = (re.split(r"[\[<>=]", requirement)[0] for requirement in project["dependencies"])
        known[project["name"]] = (f"./{file.parent.relative_to(ROOT)}", [name for name in needs if "tunesmith" in name])
    found: set[str] = set()
    waiting = [name for name, (place, _) in known.items() if place.removeprefix("./") in folders]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += known[name][1]
    return sorted(known[name][0] for name in found)


def call(python: Path, *arguments: str, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("TUNESMITH", "PYTHON"))}
    done = subprocess.run(
        [str(python), *arguments], capture_output=True, text=True, check=False, cwd=cwd, env=variables, timeout=600
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def kernel_only(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment(tmp_path_factory.mktemp("kernel") / "venv", *local("kernel"))


def test_the_kernel_is_small(kernel_only: Path, tmp_path: Path) -> None:
    code = "import importlib.metadata as m; print(sorted({d.name for d in m.distributions()}))"
    names = call(kernel_only, "-c", code, cwd=tmp_path).stdout
    assert names.count("'") // 2 <= 14, names
    assert "torch" not in names


def test_help_imports_nothing_heavy(kernel_only: Path, tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['tunesmith', '--help']; from tunesmith.cli import main\n"
        "try: main()\n"
        "finally: print({'torch', 'transformers', 'omegaconf'} & set(sys.modules))"
    )
    assert call(kernel_only, "-c", code, cwd=tmp_path).stdout.endswith("set()\n")


def test_train_says_what_to_install(kernel_only: Path, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("model: {path: Qwen/Qwen3-0.6B}\ndata: {train: [a.json]}\n")
    message = call(kernel_only, "-m", "tunesmith", "train", "x.yaml", cwd=tmp_path, code=2).stderr
    (command,) = [line for line in message.splitlines() if "pip install" in line and "model-transformers" in line]
    for part in ("data-datasets", "stage-sft", "adapter-lora", "trainer-transformers", "template-auto"):
        assert f"tunesmith-{part}" in command


def test_the_least_that_trains(tmp_path: Path, tiny_llama: Path) -> None:
    """The kernel and nine distributions train, and nothing else of the project is imported."""
    python = environment(tmp_path / "venv", *local("kernel", *(f"plugins/{plugin}" for plugin in NEEDED)))
    (tmp_path / "train.json").write_text(json.dumps([{"instruction": "Who?", "output": "Me."}] * 8))
    config = {
        "model": {"path": str(tiny_llama)},
        "template": "chatml",
        "data": {"train": ["train.json"], "cache": False},
        "output_dir": "out",
        "trainer": {"max_steps": 2, "save_strategy": "no"},
    }
    (tmp_path / "run.json").write_text(json.dumps(config))
    code = (
        "import sys, tunesmith; tunesmith.train('run.json')\n"
        "print(sorted(n for n in sys.modules if n.startswith('tunesmith_') and '.' not in n))\n"
        "print(sorted({'trl', 'matplotlib', 'gradio', 'wandb', 'bitsandbytes'} & set(sys.modules)))"
    )
    shown = call(python, "-c", code, cwd=tmp_path).stdout.splitlines()
    assert (tmp_path / "out" / "adapter_model.safetensors").is_file()
    expected = sorted(f"tunesmith_{plugin.replace('/', '_')}" for plugin in NEEDED)
    plugins = [name for name in ast.literal_eval(shown[-2]) if not name.startswith("tunesmith_library_")]
    assert (plugins, shown[-1]) == (expected, "[]")


@pytest.mark.parametrize("kind", ["template", "quantizer"])
def test_a_new_plugin_is_found_by_name(kind: str, tmp_path: Path) -> None:
    """`tunesmith new` outside the repository, installed, selected by name."""
    python = environment(tmp_path / "venv", *local("plugins/library/testing"))
    call(python, "-m", "tunesmith", "new", kind, "mine", cwd=tmp_path)
    (project,) = [path for path in tmp_path.iterdir() if (path / "pyproject.toml").is_file()]
    uv = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-deps", "--python", str(python)]
    subprocess.run([*uv, str(project)], check=True)
    assert "mine" in call(python, "-m", "tunesmith", "plugins", cwd=tmp_path).stdout
    schema = json.loads(call(python, "-m", "tunesmith", "config", "schema", cwd=tmp_path).stdout)
    assert "mine" in json.dumps(schema["properties"][kind])
    assert "mine" in call(python, "-m", "tunesmith", "train", "--help", cwd=tmp_path).stdout
    planned = call(python, "-m", "tunesmith", "plan", f"{kind}=mine", cwd=tmp_path, code=2)
    assert f"no installed plugin provides {kind}" not in planned.stderr
    shutil.rmtree(tmp_path / "venv")
