"""The machine without torch: system, processor, memory, NVIDIA's driver, disks, and what is kept on them."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tunesmith_library_caching.places import ARCHIVES, DATASETS, STORES, kept_in
from tunesmith_library_estimates.at_hand import accelerators, processor, threads
from tunesmith_library_estimates.room import of_host

from tunesmith_command_doctor.found import Facts, Finding

_SCARCE, _LITTLE = 1e9, 10e9  # bytes of a disk: less than a checkpoint of a small model, of a usual one
_SHARED = 512 * 2**20  # bytes of /dev/shm that a few workers of data take
_SECONDS = 0.3  # at most for the size of a cache
_BF16 = 8.0  # compute capability from which on bf16 is computed
_GROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Nvidia:
    """What NVIDIA's driver tells."""

    names: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()  # a GPU each: name, memory, what is used of it, compute capability
    driver: str = ""
    cuda: str = ""  # the newest version of CUDA that the driver runs
    failure: str = ""  # why nvidia-smi tells nothing


def nvidia() -> Nvidia:
    """Ask nvidia-smi; nothing where it is not."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return Nvidia()
    asked = "--query-gpu=name,memory.total,memory.used,compute_cap,driver_version"
    try:
        rows = _said([program, asked, "--format=csv,noheader,nounits"]).splitlines()
        header = re.search(r"CUDA Version: *([\d.]+)", _said([program]))
    except subprocess.CalledProcessError as error:
        said = (error.stdout or error.stderr or "").strip().splitlines()
        return Nvidia(failure=said[0] if said else f"exit code {error.returncode}")
    except (OSError, subprocess.SubprocessError) as error:
        return Nvidia(failure=str(error))
    cells = [[cell.strip() for cell in row.split(",")] for row in rows if row.count(",") == 4]
    lines = tuple(_gpu(*row[:4]) for row in cells)
    driver = cells[0][4] if cells else ""
    return Nvidia(tuple(row[0] for row in cells), lines, driver, header[1] if header else "")


def _gpu(name: str, total: str, used: str, capability: str) -> str:
    with contextlib.suppress(ValueError):
        bf16 = "bf16" if float(capability) >= _BF16 else "no bf16"
        return f"{name}, {float(total) / 1024:.0f} GiB ({float(used) / 1024:.0f} used), sm_{capability}, {bf16}"
    return f"{name}, {total} MiB"


def _said(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout


def findings(gpus: Nvidia) -> Iterator[Finding]:
    """Drivers that do not answer, and places without room."""
    if gpus.failure:
        advice = "restart after an update of the driver; in a container, start it with --gpus all"
        yield Finding("nvidia-smi", f"it is there and fails: {gpus.failure}", advice)
    for name, place in _places().items():
        free = _free(place)
        if free is not None and free < _LITTLE:
            advice = "df -h; tunesmith data cache --unused --prune; hf cache prune"
            yield Finding("disk", f"{free / 1e9:.1f} GB are free for {name}, {place}", advice, wrong=free < _SCARCE)
    shared = Path("/dev/shm")
    if shared.is_dir() and shutil.disk_usage(shared).total < _SHARED:
        size = shutil.disk_usage(shared).total / 2**20
        message = f"it has {size:.0f} MiB: workers of data end with `bus error` there"
        advice = "start the container with --shm-size=8g, or train with trainer.dataloader_num_workers=0"
        yield Finding("/dev/shm", message, advice, wrong=False)


def facts(gpus: Nvidia) -> Facts:
    """System, processor, memory and accelerators, as the system tells them."""
    room = of_host()
    told = {
        "Python": f"{platform.python_version()} ({platform.python_implementation()})",
        "system": platform.platform(),
        "processor": processor().model,
        "cores": f"{os.cpu_count()}, {threads()} for a run{_quota()}",
        "memory": f"{room.total / 2**30:.0f} GiB, or what the container is limited to" if room else "unknown",
    }
    if gpus.driver:
        told["NVIDIA driver"] = f"{gpus.driver}, CUDA {gpus.cuda or 'unknown'} at most"
    told |= {f"GPU {index}": line for index, line in enumerate(gpus.lines)}
    if not gpus.lines:
        found = accelerators()
        told["GPU"] = ", ".join(f"{name}, {size / 2**30:.0f} GiB" for name, size in found) or "none"
    return told


def _quota() -> str:
    """What a container's limit on processor time comes to."""
    with contextlib.suppress(OSError, ValueError):
        most, period = (_GROUPS / "cpu.max").read_text(encoding="ascii").split()
        return f", limited to the time of {int(most) / int(period):g}"
    return ""


def _places() -> dict[str, Path]:
    return {"runs": Path.cwd(), "models and data of the hub": _hub(), "temporary files": Path(tempfile.gettempdir())}


def disks() -> Facts:
    """What is free where runs, downloads and temporary files are written."""
    free = {name: (place, _free(place)) for name, place in _places().items()}
    return {name: f"{size / 1e9:.0f} GB free: {place}" for name, (place, size) in free.items() if size is not None}


def _free(place: Path) -> float | None:
    """Bytes that are free where a folder is, or will be made."""
    for folder in (place, *place.parents):
        with contextlib.suppress(OSError):
            return shutil.disk_usage(folder).free
    return None


def caches() -> Facts:
    """What is kept for later, how much it takes, and how it goes."""
    own = (
        "tunesmith data cache --unused --prune",
        {"encoded data": DATASETS, "archives": ARCHIVES, "downloads": STORES},
    )
    told = {"models and data of the hub": f"{_size(_hub())}: {_hub()}; to clear: hf cache prune"}
    for name, kept in own[1].items():
        told[name] = f"{_size(kept_in(kept))}: {kept_in(kept)}; to clear: {own[0]}"
    return told


def _hub() -> Path:
    """Where huggingface_hub keeps models and data, by its own variables."""
    home = Path(os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface")
    return Path(os.environ.get("HF_HUB_CACHE") or home / "hub").expanduser()


def _size(folder: Path) -> str:
    """The size of a folder, or that there is none; of a very large one what was counted in a short time."""
    if not folder.is_dir():
        return "none"
    end, total, more = time.monotonic() + _SECONDS, 0, ""
    for root, _, files in os.walk(folder):
        for file in files:
            with contextlib.suppress(OSError):
                found = os.lstat(os.path.join(root, file))
                total += found.st_size
        if time.monotonic() > end:
            more = "more than "
            break
    return f"{more}{total / 1e9:.1f} GB"
