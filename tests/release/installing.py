"""A release as a user has it: a fresh environment from the wheels, and a tiny model that goes all the way there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
_LICENCES = """
import importlib.metadata as m, json
def of(about):
    said = [about["License-Expression"] or ""]
    said += [line for line in about.get_all("Classifier") or () if "License" in line]
    return " ".join(said) if any(said) else (about["License"] or "")[:60]
print(json.dumps({d.name: of(d.metadata) for d in m.distributions()}))
"""


def installed(dist: Path, extra: str, chosen: str) -> str:
    """Install `tunesmith-suite[extra]` with the versions of a set; train, ask and export; then ask the doctor.

    Raises: ValueError where a step fails, or where a library has a licence that ours does not go with.
    """
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        python = _environment(here / "venv", dist, extra, chosen)
        told = json.loads(_said(python, "-c", _LICENCES, cwd=here))
        bound = [name for name, licence in told.items() if "GPL" in licence and "LGPL" not in licence]
        if bound:
            raise ValueError(f"{', '.join(bound)} is under the GPL")
        _way(python, here)
        _said(python, "-m", "tunesmith", "doctor", cwd=here)
        size = sum(
            file.stat().st_size for file in (here / "venv").rglob("*") if file.is_file() and not file.is_symlink()
        )
        return f"{len(told)} distributions, {size / 1e9:.1f} GB: trained, asked, exported"


def _environment(folder: Path, dist: Path, extra: str, chosen: str) -> Path:
    """Its Python; the versions of the set are pins, of torch the build only where its wheel is at hand."""
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, str(folder)], check=True, capture_output=True)
    links = os.environ.get("UV_FIND_LINKS") or os.environ.get("PIP_FIND_LINKS", "")
    pins = (ROOT / "tests/versions" / f"{chosen}.txt").read_text(encoding="utf-8")
    if not any(Path(link).is_dir() and any(Path(link).glob("torch-*.whl")) for link in links.split()):
        pins = re.sub(r"(?m)^(torch==[\d.]+)\+.*$", r"\1", pins)
    (folder / "pins.txt").write_text(pins)
    command = [*uv, "--no-config", "pip", "install", "--quiet", "--python", str(folder / "bin/python")]
    command += ["--constraint", str(folder / "pins.txt"), f"tunesmith-suite[{extra}]"]
    for wheel in dist.glob("tunesmith*.whl"):  # uv keeps wheels by version, and those of a rehearsal have the same
        command += ["--refresh-package", wheel.name.partition("-")[0]]
    found = {**os.environ, "UV_FIND_LINKS": ",".join([str(dist), *links.split()])}
    subprocess.run(command, check=True, capture_output=True, text=True, env=found)
    return folder / "bin/python"


def _way(python: Path, here: Path) -> None:
    """A tiny model, made with the libraries of this process: trained, asked, exported in the other environment."""
    from tunesmith_library_testing.tiny import save_tiny_model, tiny_tokenizer

    save_tiny_model(here / "base", tokenizer=tiny_tokenizer())
    (here / "train.json").write_text(json.dumps([{"instruction": "Who are you?", "output": "A smith."}] * 100))
    words = ("model.path=base", "data.train=[train.json]", "output_dir=out", "trainer.max_steps=2")
    _said(python, "-m", "tunesmith", "train", "conf/sft_lora.yaml", *words, cwd=here)
    _said(python, "-m", "tunesmith", "chat", "out", "-m", "Who are you?", "engine.max_new_tokens=4", cwd=here)
    _said(python, "-m", "tunesmith", "export", "out", "-o", "merged", cwd=here)
    if not (here / "merged" / "model.safetensors").is_file():
        raise ValueError("the export wrote no model.safetensors")


def _said(python: Path, *words: str, cwd: Path) -> str:
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("TUNESMITH", "PYTHON"))}
    done = subprocess.run([str(python), *words], capture_output=True, text=True, check=False, cwd=cwd, env=variables)
    if done.returncode:
        raise ValueError(f"{' '.join(words[:4])}: {(done.stderr or done.stdout).strip()[-400:]}")
    return done.stdout
