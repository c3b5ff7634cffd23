"""What torch says of its devices, asked in a process of its own: it may crash, or hang in a driver."""

from __future__ import annotations

import json
import subprocess
import sys

from tunesmith_command_doctor.found import Facts, Finding

_SECONDS = 120.0
_CODE = """
import json, torch
built = str(torch.version.cuda or torch.version.hip)
told = {"torch": torch.__version__, "CUDA": built, "threads": str(torch.get_num_threads())}
if torch.cuda.is_available():
    for index in range(torch.cuda.device_count()):
        found = torch.cuda.get_device_properties(index)
        bf16 = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "no bf16"
        one = torch.ones(8, 8, device=f"cuda:{index}")
        right = "computes" if (one @ one).sum().item() == 512 else "computes wrong products"
        told[f"cuda:{index}"] = f"{found.name}, {found.total_memory / 2**30:.0f} GiB, {bf16}, {right}"
else:
    mps = getattr(torch.backends, "mps", None)
    told["devices"] = "mps" if mps and mps.is_available() else "the processor alone"
print(json.dumps(told))
"""


def asked() -> tuple[Facts, list[Finding]]:
    """Import torch and compute a product on each device.

    Returns: what it says, and what is wrong where it does not answer.
    """
    command = [sys.executable, "-c", _CODE]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        message = f"it did not answer within {_SECONDS:.0f} seconds"
        return {}, [Finding("torch", message, "nvidia-smi; restart the machine where that hangs, too")]
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        return {}, [Finding("torch", f"it cannot be used: {said[-1]}", "pip install --force-reinstall torch")]
    told: Facts = json.loads(done.stdout.strip().splitlines()[-1])
    return told, []
