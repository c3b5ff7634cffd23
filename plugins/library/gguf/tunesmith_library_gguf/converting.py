"""llama.cpp's own converter, for the architectures that are not written here, in a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tunesmith import TunesmithError, announce

SCRIPT = "convert_hf_to_gguf.py"
FETCH = (
    "pip download --no-deps --no-binary :all: llama-cpp-python==0.3.36\n"
    "tar xzf llama_cpp_python-0.3.36.tar.gz\n"
    "{key}.converter=llama_cpp_python-0.3.36/vendor/llama.cpp uses the converter in it"
)
"""The two commands that fetch a converter, and the option of `{key}` that takes it."""

_SHOWN = 6  # lines of what it says


def convert(folder: Path, model: Path, file: Path, kind: str, options: tuple[str, ...] = ()) -> None:
    """Run the converter.

    Args:
        folder: of llama.cpp's source, with the script.
        model: of transformers.
        kind: one that it rounds to.
        options: further ones of the script.

    Raises: TunesmithError for an architecture that it does not know, and with the last lines of what it says.
    """
    script = folder / SCRIPT
    if not script.is_file():
        raise TunesmithError(f"{folder} has no {SCRIPT}, which converts models.\n" + FETCH.format(key="exporter.gguf"))
    command = [sys.executable, str(script), str(model), "--outfile", str(file), "--outtype", kind, *options]
    announce("converter", str(script), "exporter.gguf.converter")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if unknown := re.search(r"Model (\w+) is not supported", done.stderr):
        what = "projectors (mmproj) of" if "--mmproj" in options else "models of"
        raise TunesmithError(
            f"llama.cpp's converter in {folder} does not know {what} {unknown[1]}.\n"
            f"  python {script} --print-supported-models lists what it knows; a newer llama.cpp may know more"
        )
    if done.returncode or not (file.is_file() or "--dry-run" in options):
        lacking = re.search(r"No module named '(\w+)'", done.stderr)
        advice = f"\n  pip install {lacking[1]}" if lacking else ""
        said = "\n".join(f"  {line}" for line in (done.stderr or done.stdout).strip().splitlines()[-_SHOWN:])
        raise TunesmithError(f"llama.cpp's converter gave up on {model.name} (code {done.returncode}):\n{said}{advice}")
