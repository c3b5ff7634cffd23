"""What this machine computes with, found out without torch: its accelerators, or its processor."""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

Accelerator = tuple[str, float]
"""Its name as the driver or the system tells it, and the bytes of its memory that a process may have."""

_KFD, _CARDS = Path("/dev/kfd"), Path("/sys/class/drm")
_AMD, _LEAST = "0x1002", 2 * 2**30  # bytes: what is smaller is built into a processor

# what a core's products reach by its instructions, the best first: GFLOP/s in bf16 and fp32. Those of avx512_bf16 were
# measured on an EPYC, on products of 128 to 1,000 rows, before 80 % are taken of them; the others are guesses.
_CORES = (("amx_bf16", 700, 130), ("avx512_bf16", 190, 105), ("avx512f", 80, 130), ("avx2", 40, 60), ("asimd", 25, 30))
_BANDWIDTH = 10e9  # bytes/s of a core's share of the memory


@dataclass(frozen=True)
class Processor:
    """The processor, with as many threads as torch takes."""

    model: str  # its name and how many threads
    flops: dict[str, float]  # FLOP/s by precision
    bandwidth: float  # bytes/s


def accelerators() -> tuple[Accelerator, ...]:
    """Those that a process here sees: NVIDIA's, AMD's or Apple's; none where the driver tells of none."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", os.environ.get("HIP_VISIBLE_DEVICES"))
    if visible is not None and visible.strip() in ("", "-1"):
        return ()
    found = _of_nvidia(shutil.which("nvidia-smi")) or _of_amd() or _of_apple()
    return found if visible is None else found[: len(visible.split(","))]


@functools.cache
def _of_nvidia(program: str | None) -> tuple[Accelerator, ...]:
    if program is None:
        return ()
    asked = [program, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
        told = subprocess.run(asked, capture_output=True, text=True, timeout=5, check=True).stdout.splitlines()
        parts = [line.rpartition(",") for line in told if line.strip()]
        return tuple((name.strip(), int(memory) * 2.0**20) for name, _, memory in parts)
    return ()


def _of_amd() -> tuple[Accelerator, ...]:
    """By the kernel's files: only where its driver for computing is there."""
    found = []
    for card in sorted(_CARDS.glob("card*/device")) if _KFD.exists() else ():
        with contextlib.suppress(OSError, ValueError):
            memory = int((card / "mem_info_vram_total").read_text(encoding="ascii"))
            if (card / "vendor").read_text(encoding="ascii").strip() == _AMD and memory >= _LEAST:
                named = card / "product_name"
                name = named.read_text(encoding="utf-8", errors="replace").strip() if named.is_file() else ""
                found.append((name or "AMD GPU", float(memory)))
    return tuple(found)


def _of_apple() -> tuple[Accelerator, ...]:
    if platform.system() != "Darwin" or platform.machine() != "arm64":
        return ()
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return ((_model(), memory * (3 / 4 if memory > 36 * 2**30 else 2 / 3)),)


def processor() -> Processor:
    """The processor at hand, and what its products are likely to reach."""
    cores, instructions = threads(), _told("flags", "Features").split()
    bf16, fp32 = next(((bf16, fp32) for name, bf16, fp32 in _CORES if name in instructions), (25, 30))
    rates = {"bf16": 1e9 * bf16 * cores, "fp16": 1e9 * fp32 * cores, "fp32": 1e9 * fp32 * cores}
    return Processor(f"{_model()}, {cores} threads", rates, _BANDWIDTH * cores)


def threads() -> int:
    """How many torch will take: as the environment says, else one for each processor."""
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    if asked.isdigit() and int(asked):
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def _model() -> str:
    if platform.system() == "Darwin":
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            asked = ["sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(asked, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    return _told("model name", "Model") or platform.processor() or platform.machine()


@functools.cache
def _told(*names: str) -> str:
    """What Linux tells of the first processor, under the first of these names that it has."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() in names:
                return value.strip()
    return ""
