"""The environment: variables that change how a run behaves, language, and whether a hub may be asked."""

from __future__ import annotations

import locale
import os
import sys
from collections.abc import Iterator

from tunesmith.catalog import Catalog
from tunesmith_library_configuration.secrets import names_secret

from tunesmith_command_doctor.found import Facts, Finding

_BEGIN = (
    "TUNESMITH_",
    "HF_",
    "TRANSFORMERS_",
    "DATASETS_",
    "CUDA_",
    "HIP_",
    "NCCL_",
    "OMP_",
    "MKL_",
    "PYTORCH_",
    "TORCH",
)
_NAMED = (
    *(
        "LANG",
        "LC_ALL",
        "LD_LIBRARY_PATH",
        "LD_PRELOAD",
        "PYTHONPATH",
        "PYTHONHOME",
        "PYTHONDONTWRITEBYTECODE",
        "XDG_CACHE_HOME",
    ),
    *(
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
        "TOKENIZERS_PARALLELISM",
        "WORLD_SIZE",
        "RANK",
        "LOCAL_RANK",
        "MASTER_ADDR",
    ),
    *("WANDB_MODE", "WANDB_API_KEY", "SWANLAB_API_KEY", "MLFLOW_TRACKING_URI", "VIRTUAL_ENV", "CONDA_PREFIX", "TMPDIR"),
)
_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")
_FEW = 1  # threads that are few on a machine of more
_MANY_CORES = 4


def findings(catalog: Catalog) -> Iterator[Finding]:
    """Settings that slow runs down, or hide what is installed."""
    if sys.dont_write_bytecode:
        message = "every start compiles what it imports anew, which takes seconds"
        advice = "unset PYTHONDONTWRITEBYTECODE, or install with UV_COMPILE_BYTECODE=1"
        yield Finding("PYTHONDONTWRITEBYTECODE", message, advice, wrong=False)
    if catalog.restriction:
        yield Finding("TUNESMITH_PLUGINS", catalog.restriction, "unset TUNESMITH_PLUGINS", wrong=False)
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if threads.isdigit() and int(threads) <= _FEW and (os.cpu_count() or 1) >= _MANY_CORES:
        message = f"a run on the processor takes {threads} of {os.cpu_count()} cores"
        yield Finding("OMP_NUM_THREADS", message, "unset OMP_NUM_THREADS", wrong=False)
    if locale.getpreferredencoding(False).lower().replace("-", "") != "utf8":
        message = f"texts are read as {locale.getpreferredencoding(False)}, not as UTF-8, by whoever does not say which"
        yield Finding("language", message, "export PYTHONUTF8=1 LANG=C.UTF-8", wrong=False)


def facts() -> Facts:
    """The variables that are set; of secrets only that they are."""
    told = {"hub": "not asked: offline" if any(map(_on, _OFFLINE)) else "asked for what model.path and data name"}
    told["encoding"] = locale.getpreferredencoding(False)
    for name in sorted(os.environ):
        if name.upper() in _NAMED or name.startswith(_BEGIN):
            told[name] = "set" if names_secret(name) else os.environ[name]
    return told


def _on(name: str) -> bool:
    return os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE")
