"""transformers, imported without what a run does not use.

transformers imports some installed packages only because they are there, which costs every start a second and more:
hqq, whose layers are decorated with torch's compiler, and torchao; peft does the same with bitsandbytes, which brings
torch's code generator. They are out of sight while both are imported, unless they are needed. Of scipy, losses for
detectors of objects take one function: it is imported when that is called. What transformers' folders of models offer
is read once, not twice.

And Python's collector of garbage, which an import of 4,000 modules sets off hundreds of times, finds none in them: it
rests meanwhile (a Ctrl-C that falls into what the collector calls is lost), and what was imported is then left to
itself for the life of the process. The collections of a run look through what the run has made only, and the last one,
at the end of the process, does not take modules apart that nobody will use: a second and a half.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

HIDDEN = ("bitsandbytes", "hqq", "torchao")
"""Packages that transformers or peft import when they find them."""

_ASKED_BY_PEFT = {
    "bitsandbytes": ("is_bnb_available", "is_bnb_4bit_available"),
    "hqq": ("is_hqq_available",),
    "torchao": ("is_torchao_available",),
}
"""How peft asks for them whenever it places an adapter; it remembers the first answer."""

_MODULE_OF_PEFT = {"bitsandbytes": "bnb", "hqq": "hqq", "torchao": "torchao"}
"""What a method's module for it is called, as in `peft.tuners.lora.hqq`."""

_MODULES = ("transformers.modeling_utils", "transformers.generation")
_LOSSES, _FROM_SCIPY = "transformers.loss.", "linear_sum_assignment"
_OF_TRAINING = ("transformers.trainer", "peft", "peft.tuners.lora.model")


def import_transformers(*, training: bool, needed: Collection[str] = ()) -> None:
    """Import transformers' own modules, once per process. What is imported already stays as it is.

    Args:
        training: also its trainer, and peft.
        needed: packages of `HIDDEN` that transformers is to see, such as the one that stores a model's weights.
    """
    for name in needed:
        _show_to_peft(name)
    if "transformers.modeling_utils" in sys.modules:
        return
    hidden = [name for name in HIDDEN if name not in needed]
    with collector_at_rest(), out_of_sight(hidden):
        importlib.import_module("transformers")
        _import_models()
        _import_losses()
        for name in (*_MODULES, *(_OF_TRAINING if training else ())):
            with contextlib.suppress(ModuleNotFoundError):  # not every run has peft
                importlib.import_module(name)
        if "peft" in sys.modules:
            for question in (question for name in hidden for question in _ASKED_BY_PEFT[name]):
                getattr(sys.modules["peft"].import_utils, question)()
    for name in HIDDEN:  # what transformers remembers of their absence
        getattr(sys.modules["transformers.utils.import_utils"], f"is_{name}_available").cache_clear()
    _ask_less_of_deepspeed()
    gc.freeze()


def _ask_less_of_deepspeed() -> None:
    """accelerate imports DeepSpeed to see whether a model is its engine: none is before somebody else imported it."""
    other: Any = sys.modules.get("accelerate.utils.other")
    if other is not None:
        other.is_deepspeed_available = lambda: "deepspeed" in sys.modules


def _import_models() -> None:
    """transformers' package of models, whose folders were read when transformers was imported.

    It asks for the same under another name of the folder, and transformers remembers by name.
    """
    reading: Any = sys.modules["transformers.utils.import_utils"]
    read = getattr(reading, "create_import_structure_from_path", None)
    if read is None or "transformers.models" in sys.modules:
        return
    package = Path(str(sys.modules["transformers"].__file__)).parent / "models"
    reading.create_import_structure_from_path = lambda path: read(package if _is_package(path, package) else path)
    try:
        importlib.import_module("transformers.models")
    finally:
        reading.create_import_structure_from_path = read


def _is_package(path: Any, folder: Path) -> bool:
    return Path(path) in (folder, folder / "__init__.py")


def _import_losses() -> None:
    """transformers' losses, without scipy, unless it is there already."""
    available = sys.modules["transformers.utils.import_utils"].is_scipy_available
    if not available():
        return
    available.cache_clear()
    with out_of_sight(["scipy"]), contextlib.suppress(ImportError):  # what fails so is imported again, as usual
        importlib.import_module(f"{_LOSSES}loss_utils")
    available.cache_clear()
    for name, module in list(sys.modules.items()):
        if name.startswith(_LOSSES) and hasattr(module, "is_scipy_available") and not hasattr(module, _FROM_SCIPY):
            setattr(module, _FROM_SCIPY, _from_scipy(module))


def _from_scipy(module: Any) -> Callable[..., Any]:
    """The function, as long as nobody calls it in this module."""

    def linear_sum_assignment(*arguments: Any, **named: Any) -> Any:
        function = importlib.import_module("scipy.optimize").linear_sum_assignment
        setattr(module, _FROM_SCIPY, function)
        return function(*arguments, **named)

    return linear_sum_assignment


def _show_to_peft(name: str) -> None:
    """An earlier run of this process may have let peft remember that there is no such package.

    Its modules for that package then lack what they take from it, and are run anew, in place: who has a function of
    theirs sees the new names.
    """
    if "peft" not in sys.modules:
        return
    questions = [getattr(sys.modules["peft"].import_utils, question) for question in _ASKED_BY_PEFT.get(name, ())]
    denied = [question for question in questions if question.cache_info().currsize and not question()]
    for question in questions:
        question.cache_clear()
    if any(question() for question in denied):
        ending = f".{_MODULE_OF_PEFT[name]}"
        for module in [key for key in sys.modules if key.startswith("peft.tuners.") and key.endswith(ending)]:
            importlib.reload(sys.modules[module])


def show_to_transformers(name: str) -> None:
    """Let transformers see a package of `HIDDEN` that was out of sight when it was imported.

    Its modules for that package are run anew, in place: who has a class of theirs sees the new names.
    """
    modules = [key for key in sys.modules if key.startswith("transformers.") and key.endswith(name)]
    for module in sorted(modules):  # what is integrated before the quantizer, which takes from it
        importlib.reload(sys.modules[module])


def stored_with(folder: Path) -> tuple[str, ...]:
    """The package that the weights in a folder were quantised with, as its config.json says; none for plain ones."""
    file = folder / "config.json"
    described = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    method = (described.get("quantization_config") or {}).get("quant_method")
    return (str(method),) if method else ()


@contextlib.contextmanager
def collector_at_rest() -> Iterator[None]:
    """No garbage is looked for during the block, for imports: an eighth of their time."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


@contextlib.contextmanager
def out_of_sight(names: Sequence[str]) -> Iterator[None]:
    """Packages that are not imported yet are not found for the time of the block."""
    hidden = [name for name in names if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # how Python marks what is not there
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
