"""`tunesmith new`: a new plugin, complete with tests that pass, to be changed into what its author wants.

The sources are files of the package (`skeleton/<kind>/`), in which the names are placeholders.
"""

from __future__ import annotations

import ast
import builtins
import importlib.metadata
import importlib.resources
import re
from pathlib import Path

import tunesmith
from tunesmith.catalog import known_distributions
from tunesmith.errors import TunesmithError, choices
from tunesmith.files import replacing
from tunesmith.kinds import KINDS

# What the skeleton of a kind imports beside the kernel and the standard library.
_TORCH = ("torch>=2.9",)
_NEEDS = {
    "template": ("tunesmith-library-chat>=0.1",),
    "adapter": (*_TORCH, "peft>=0.21"),
    "engine": ("tunesmith-library-chat>=0.1", "tunesmith-library-engine>=0.1", *_TORCH),
    "evaluator": ("tunesmith-library-engine>=0.1", "tunesmith-library-evaluating>=0.1"),
    "exporter": (*_TORCH, "safetensors>=0.8"),
    "loss": _TORCH,
    "model": (*_TORCH, "transformers>=5.17"),
    "optimizer": (*_TORCH, "tunesmith-library-estimates>=0.1"),
    "patch": _TORCH,
    "quantizer": (*_TORCH, "tunesmith-library-estimates>=0.1"),
    "stage": ("tunesmith-library-chat>=0.1", *_TORCH),
    "trainer": _TORCH,
}


def create(kind: str, name: str, folder: Path) -> Path:
    """Write a new plugin's distribution.

    Args:
        kind: one of `kinds.KINDS`.
        name: as it will stand in the configuration: a-z, 0-9 and _.
        folder: in which the distribution's folder `<kind>-<name>` is made.

    Returns: the distribution's folder.

    Raises: TunesmithError for an unknown kind, a name that cannot be one or is that of a plugin of this project, and a
        folder that is already there.
    """
    if kind not in KINDS:
        raise TunesmithError(f"{kind} is not a kind of plugin.\n{choices(kind, KINDS)}")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        wanted = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_0123456789")
        advice = f"   for example: {wanted}" if wanted else ""
        raise TunesmithError(f"{name!r} cannot be a plugin's name.\npossible: a-z, then a-z, 0-9 and _{advice}")
    taken = known_distributions().get(f"{kind}.{name}")
    if taken:
        raise TunesmithError(
            f"{kind}={name} is what {taken} provides, beside which another would have to be chosen in every run.\n"
            f"choose another name, such as my_{name}"
        )
    target = folder / f"{kind}-{name}"
    if target.exists():
        raise TunesmithError(f"{target} is already there.\nchoose another name, or remove it")
    with replacing(target) as draft:
        _write(kind, name, draft)
    return target


def _write(kind: str, name: str, target: Path) -> None:
    skeleton = importlib.resources.files("tunesmith_library_testing").joinpath("skeleton")
    sources = {
        file.name: file.read_text(encoding="utf-8")
        for file in skeleton.joinpath(kind).iterdir()
        if file.name.endswith(".py")
    }
    others = [file for file in skeleton.joinpath(kind).iterdir() if file.name.endswith(".jinja")]
    class_name = _class_name(kind, name, sources.values())
    package = target / f"tunesmith_{kind}_{name}"
    tests = target / "tests"
    package.mkdir(parents=True)
    tests.mkdir()
    for file_name, source in sources.items():
        path = tests / f"test_{kind}_{name}.py" if file_name == "tests.py" else package / file_name
        path.write_text(_named(source, name, class_name), encoding="utf-8")
    for file in others:
        text = _named(file.read_text(encoding="utf-8"), name, class_name)
        (package / _named(file.name, name, class_name)).write_text(text, encoding="utf-8")
    (package / "py.typed").touch()
    (target / "LICENSE").write_text(_licence(), encoding="utf-8")
    requirements = ", ".join(f'"{requirement}"' for requirement in ("tunesmith>=0.1,<1", *_NEEDS.get(kind, ())))
    summary = _summary(sources["__init__.py"])
    for file_name in ("pyproject.toml", "README.md"):
        text = skeleton.joinpath(f"{file_name}.in").read_text(encoding="utf-8")
        text = text.replace("DEPENDENCIES", requirements).replace("SUMMARY", summary).replace("COMMAND", _use(kind))
        (target / file_name).write_text(_named(text.replace("KIND", kind), name, class_name), encoding="utf-8")


def _licence() -> str:
    """The text of the licence that a new plugin has, which is the kernel's."""
    files = importlib.metadata.files("tunesmith") or ()
    path = next((file for file in files if file.name == "LICENSE"), None)
    if path is not None:
        return path.read_text(encoding="utf-8")
    return (Path(tunesmith.__file__).parents[1] / "LICENSE").read_text(encoding="utf-8")  # of a checkout


def _named(text: str, name: str, class_name: str) -> str:
    """A skeleton's text with its placeholders replaced by names."""
    return text.replace("Placeholder", class_name).replace("placeholder", name)


def _class_name(kind: str, name: str, sources: object) -> str:
    """`half_life` → `HalfLife`; `HalfLifeQuantizer` where the short name has another meaning in the sources."""
    short = "".join(part.capitalize() for part in name.split("_"))
    taken = set(dir(builtins))
    for source in sources:  # type: ignore[attr-defined]
        for node in ast.walk(ast.parse(source)):
            taken |= {node.id} if isinstance(node, ast.Name) else set()
            taken |= {alias.name for alias in getattr(node, "names", ()) if isinstance(alias, ast.alias)}
            taken |= {node.name} if isinstance(node, ast.ClassDef) else set()
    return f"{short}{kind.capitalize()}" if short in taken else short


def _summary(source: str) -> str:
    """The docstring of the plugin's class."""
    classes = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    plugin = next(node for node in classes if node.name == "Placeholder")
    return ast.get_docstring(plugin) or ""


def _use(kind: str) -> str:
    """A command that uses a plugin of this kind."""
    if kind == "command":
        return "tunesmith placeholder --help"
    if kind == "dialect":
        return "tunesmith train theirs.yaml"
    if kind == "parallel":
        return "tunesmith train conf/sft_lora.yaml parallel=placeholder output_dir=runs/NAME"
    if kind == "hub":
        return "tunesmith train conf/sft_lora.yaml model.path=placeholder://owner/name"
    if kind == "format":
        return "tunesmith train conf/sft_lora.yaml 'data.train=[{path: data.jsonl, format: placeholder}]'"
    choice = f"{kind}.placeholder={{}}" if KINDS[kind].many else f"{kind}=placeholder"
    if "train" in KINDS[kind].commands:
        return f"tunesmith train conf/sft_lora.yaml {choice}"
    return f"tunesmith {KINDS[kind].commands[0]} runs/NAME {choice}"
