"""Versions that do not go together although their metadata allows it, each with its cause and what to change."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from packaging.version import InvalidVersion, Version

from tunesmith_command_doctor.found import Finding
from tunesmith_command_doctor.installed import Installed
from tunesmith_command_doctor.machine import Nvidia

_FOR_NUMPY_2 = {"pandas": "2.2.2", "scipy": "1.13", "scikit-learn": "1.4.2", "matplotlib": "3.8.4", "pyarrow": "16.1"}
"""The first versions that were compiled for numpy 2; earlier ones end in `numpy.dtype size changed`."""

_BESIDE_TORCH = ("torchvision", "torchaudio", "torchcodec")
_INDEX = "https://download.pytorch.org/whl"


def findings(there: Installed, gpus: Nvidia) -> Iterator[Finding]:
    """Everything of the table that is so here."""
    for check in CHECKS:
        yield from check(there, gpus)


def _builds_beside_torch(there: Installed, gpus: Nvidia) -> Iterator[Finding]:
    """torchvision's operators are compiled against one build of torch; transformers imports them where they are."""
    for name in _BESIDE_TORCH:
        if name not in there or "torch" not in there:
            continue
        mine, torch = _local(there[name].version), _local(there["torch"].version)
        asked = next(
            (found[1] for line in there[name].requires if (found := re.match(r"torch\s*\(?==([\w.]+)", line))), ""
        )
        if mine == torch and asked in ("", _public(there["torch"].version)):
            continue
        message = (
            f"{there[name].version} is built for torch {asked or 'of another build'}, and torch is "
            f"{there['torch'].version}: `operator {name}::… does not exist` when transformers is imported"
        )
        yield Finding(
            name, message, f"pip uninstall -y {name} (Tunesmith needs it not), or install that of the same build"
        )


def _torch_without_its_gpu(there: Installed, gpus: Nvidia) -> Iterator[Finding]:
    """A build for the processor beside an NVIDIA GPU: runs take the processor, and nothing else says so."""
    build = cuda_of_torch(there)
    if gpus.names and "torch" in there and build == "":
        message = f"{there['torch'].version} computes on the processor only; this machine has {gpus.names[0]}"
        wheels = f"{_INDEX}/cu{'126' if gpus.cuda.startswith('12') else '130'}"
        yield Finding("torch", message, f"pip install --force-reinstall torch --index-url {wheels}")


def _driver_too_old(there: Installed, gpus: Nvidia) -> Iterator[Finding]:
    """A driver runs programs of its own major version of CUDA and of older ones."""
    build = cuda_of_torch(there)
    if build and gpus.cuda and int(build.split(".")[0]) > int(gpus.cuda.split(".")[0]):
        message = f"it is built for CUDA {build}, and the driver {gpus.driver} runs CUDA {gpus.cuda} at most"
        wheels = f"{_INDEX}/cu{gpus.cuda.replace('.', '')}"
        yield Finding("torch", message, f"update the driver, or pip install torch --index-url {wheels}")


def _flash_attention_of_another_torch(there: Installed, gpus: Nvidia) -> Iterator[Finding]:
    """Its wheels are compiled for one minor version of torch: `undefined symbol` where it is another."""
    if "flash-attn" not in there or "torch" not in there:
        return
    built = re.search(r"torch(\d+\.\d+)", there["flash-attn"].version)
    if built and not there["torch"].version.startswith(f"{built[1]}."):
        message = (
            f"{there['flash-attn'].version} is compiled for torch {built[1]}; installed is {there['torch'].version}"
        )
        yield Finding(
            "flash-attn", message, "pip uninstall -y flash-attn, then pip install --no-build-isolation flash-attn"
        )


def _compiled_for_numpy_1(there: Installed, gpus: Nvidia) -> Iterator[Finding]:
    if "numpy" not in there or _version(there["numpy"].version) < Version("2"):
        return
    for name, first in _FOR_NUMPY_2.items():
        if name in there and _version(there[name].version) < Version(first):
            message = f"{there[name].version} is compiled for numpy 1; installed is numpy {there['numpy'].version}"
            yield Finding(name, message, f'pip install --upgrade "{name}>={first}"')


def _torchao_too_old_for_peft(there: Installed, gpus: Nvidia) -> Iterator[Finding]:
    """peft looks at torchao in every run where it is there, and its metadata does not name it."""
    if "peft" not in there or "torchao" not in there or _version(there["peft"].version) < Version("0.19"):
        return
    if _version(there["torchao"].version) < Version("0.16"):
        message = f"{there['torchao'].version} is refused by peft {there['peft'].version} in every run with LoRA"
        yield Finding("torchao", message, 'pip install --upgrade "torchao>=0.16", or pip uninstall -y torchao')


def _changes_others(there: Installed, gpus: Nvidia) -> Iterator[Finding]:
    """Programs that bring other versions with them, or change transformers when they are imported."""
    if "autoawq" in there:
        message = "its authors have given it up, and transformers 5 reads AWQ through gptqmodel"
        yield Finding("autoawq", message, "pip uninstall -y autoawq; pip install gptqmodel optimum", wrong=False)
    if "unsloth" in there:
        message = (
            "it changes classes of transformers and trl when it is imported, and holds them at versions of its own"
        )
        yield Finding("unsloth", message, "an environment of its own for model=unsloth", wrong=False)
    if "bitsandbytes" in there and "torch" in there and cuda_of_torch(there) == "" and not gpus.names:
        message = "without a GPU it does less: quantizer=bitsandbytes is slow, and optimizer=adamw8bit does not run"
        yield Finding("bitsandbytes", message, "on a processor take quantizer=hqq or quantizer=torchao", wrong=False)


CHECKS: tuple[Callable[[Installed, Nvidia], Iterator[Finding]], ...] = (
    _builds_beside_torch,
    _torch_without_its_gpu,
    _driver_too_old,
    _flash_attention_of_another_torch,
    _compiled_for_numpy_1,
    _torchao_too_old_for_peft,
    _changes_others,
)


def cuda_of_torch(there: Installed) -> str | None:
    """The version of CUDA that torch is built for, read without importing it: "" for none, None where nothing says."""
    if "torch" not in there:
        return None
    try:
        text = (Path(there["torch"].place) / "torch" / "version.py").read_text(encoding="utf-8")
    except OSError:
        return None
    cuda, rocm = (re.search(rf"^{name}\b[^=]*= '([^']+)'", text, re.MULTILINE) for name in ("cuda", "hip"))
    if rocm:
        return None
    return cuda[1] if cuda else ""


def _local(version: str) -> str:
    """What stands behind the plus: `cpu`, `cu130`; "" for a build of the index."""
    return version.partition("+")[2]


def _public(version: str) -> str:
    return version.partition("+")[0]


def _version(text: str) -> Version:
    try:
        return Version(text)
    except InvalidVersion:
        return Version("0")
