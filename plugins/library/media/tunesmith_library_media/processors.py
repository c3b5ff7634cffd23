"""The whole processor of a model that sees videos, where torchvision is not installed.

transformers' processors of images have forms that need PIL alone. Those of videos have none: without torchvision they
are not even imported, and with them the processor of the whole model. They need six small functions of it, which
`transforms` has. They are lent to the modules of transformers that ask for them, and the classes put where transformers
looks for them; a torchvision that is installed is left alone. So is `num2words`, in whose place one processor is lent
`numerals`.
"""

from __future__ import annotations

import contextlib
import copyreg
import functools
import importlib
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from tunesmith_library_media.numerals import in_words

FILES = ("processor_config.json", "preprocessor_config.json", "video_preprocessor_config.json")
"""What describes a processor and its parts, nested or each by itself."""

_NEEDED = '"torchvision"'
"""In the source of a processor that says it needs it."""

_SPELLING = "SmolVLMProcessor"
"""The processor that writes numbers as words."""

_LENDING = threading.Lock()


def provide(folder: Path) -> tuple[str, ...]:
    """Give transformers the parts of a folder's processor that it would only import with torchvision.

    Returns: the names of the classes that were provided; none where torchvision is installed.
    """
    from transformers.utils.import_utils import is_torchvision_available

    with _LENDING:
        wanted = _wanted(folder)
        if _SPELLING in wanted:
            _lend_words()
        return () if is_torchvision_available() else tuple(name for name in wanted if _provided(name))


def _lend_words() -> None:
    """Have the processor that writes numbers as words do so without `num2words`."""
    module: Any = importlib.import_module("transformers.models.smolvlm.processing_smolvlm")
    if module.num2words is None:
        module.num2words = in_words
        copyreg.pickle(module.SmolVLMProcessor, _reduced)  # a process that is started anew must be lent to as well


def _wanted(folder: Path) -> list[str]:
    """The classes that a folder's files name; transformers concludes one of videos from one of images."""
    found: dict[str, None] = {}
    for described in _described(folder):
        for key in ("processor_class", "video_processor_type", "image_processor_type"):
            name = str(described.get(key) or "").removesuffix("Fast")
            found |= {each: None for each in (name, name.replace("ImageProcessor", "VideoProcessor")) if each}
    return list(found)


def _described(folder: Path) -> list[dict[str, Any]]:
    """What a folder's files say of the processor, and of each part that is described within."""
    whole = [described for name in FILES if (described := _read(folder / name))]
    return whole + [part for described in whole for part in described.values() if isinstance(part, dict)]


def _read(file: Path) -> dict[str, Any]:
    try:
        read = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # loading it says what is wrong with it
        return {}
    return read if isinstance(read, dict) else {}


def _provided(name: str) -> bool:
    """Put a class of transformers where it looks for it; whether there is one that needs it."""
    module = _module_of(name)
    if module is None:
        return False
    with _lent():
        made = getattr(importlib.import_module(module), name)
    for place in ("transformers", module.rpartition(".")[0]):
        setattr(importlib.import_module(place), name, made)
    copyreg.pickle(made, _reduced)  # as above
    return True


def _reduced(part: Any) -> tuple[Any, ...]:
    return _revived, (type(part).__name__, vars(part))


def _revived(name: str, values: dict[str, Any]) -> Any:
    """A part of a processor as it was before it was pickled."""
    with _LENDING:
        if name == _SPELLING:
            _lend_words()
        else:
            _provided(name)
    made = getattr(importlib.import_module("transformers"), name)
    part = made.__new__(made)
    vars(part).update(values)
    return part


@functools.cache
def _module_of(name: str) -> str | None:
    """The module of transformers that defines a class which needs torchvision, if only to be imported.

    It is one of videos, one of images that has no form for PIL alone, or a processor that says so of itself.
    """
    import transformers

    kind = next((each for each in ("Video", "Image") if name.endswith(f"{each}Processor")), "")
    pattern = f"*/{kind.lower()}_processing_*.py" if kind else "*/processing_*.py"
    files = sorted((Path(transformers.__file__).parent / "models").glob(pattern))
    sources = {file: file.read_text(encoding="utf-8") for file in files}
    if any(f"class {name}Pil(" in source for source in sources.values()) and not _is_withheld(f"{name}Pil"):
        return None
    found = [file for file, source in sources.items() if f"class {name}(" in source and (kind or _NEEDED in source)]
    return f"transformers.models.{found[0].parent.name}.{found[0].stem}" if found else None


def _is_withheld(name: str) -> bool:
    """Whether transformers takes a class for one that needs torchvision. 5.17 does so of some that need PIL
    alone, since their documentation names a class that needs it."""
    return bool(getattr(getattr(importlib.import_module("transformers"), name), "is_dummy", False))


@contextlib.contextmanager
def _lent() -> Iterator[None]:
    """While a module is imported, its imports of torchvision find `transforms`; afterwards there is no torchvision."""
    from transformers.image_utils import PILImageResampling

    from tunesmith_library_media import transforms

    resampling: Any = PILImageResampling
    images, videos = (
        importlib.import_module(f"transformers.{name}")
        for name in ("image_processing_backends", "video_processing_utils")
    )
    # what transformers takes a processor of videos for; before 5.19 it needs torchvision itself
    expected = "VideoProcessorMixin" if hasattr(videos, "VideoProcessorMixin") else "BaseVideoProcessor"
    lending: dict[Any, dict[str, Any]] = {
        images: {
            "tvF": transforms,
            "is_torchvision_greater_or_equal": lambda _: transforms.has_lanczos(),
            "pil_torch_interpolation_mapping": {
                resampling[mode.name.removesuffix("_EXACT")]: mode for mode in transforms.InterpolationMode
            },
        },
        videos: {"tvF": transforms},
        # which makes itself anew while it is first imported
        importlib.import_module("transformers"): {expected: getattr(videos, expected)},
    }
    for module, values in lending.items():
        vars(module).update(values)
    path = "torchvision.transforms.v2"
    packages = [path.rsplit(".", depth)[0] for depth in range(3)]
    lent: dict[str, Any] = {name: ModuleType(name) for name in packages}
    for name in packages[:-1]:
        setattr(lent[name.rpartition(".")[0]], name.rpartition(".")[2], lent[name])
    lent[path].functional = lent[f"{path}.functional"] = transforms
    sys.modules.update(lent)
    try:
        yield
    finally:
        for name in lent:
            sys.modules.pop(name, None)
