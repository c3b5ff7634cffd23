"""What an export wrote: files, report, and what one does with it next, told by the files alone."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tunesmith_library_studio.exports.reports import checks, figures

REPORT = "export_report.json"
_MANY = 500  # files that are listed


def parts_of(folder: Path) -> list[Path]:
    """The artefacts in a folder that an export wrote: it, or of several exporters its folders."""
    inner = [path for path in sorted(folder.iterdir()) if path.is_dir() and (path / REPORT).is_file()]
    return [folder] if (folder / REPORT).is_file() or not inner else inner


def told(folder: Path, shown: str) -> dict[str, Any]:
    """An artefact.

    Args:
        shown: its path as one types it.

    Returns: `path`, `format` and `program` (null without a report), `files` with `name` and `size`, `size`, `made`
        (seconds since 1970), `proven` (whether it was compared), `figures`, `checks`, `answer`, `compared_on`, `next`.
    """
    report = read_report(folder)
    files = _files(folder)
    return {
        "path": shown,
        "format": report.get("format"),
        "program": report.get("program"),
        "files": files[:_MANY],
        "size": sum(file["size"] for file in files),
        "made": folder.stat().st_mtime,
        "proven": bool(report),
        "figures": figures(report),
        "checks": checks(report),
        "answer": report.get("answer"),
        "compared_on": report.get("compared_on"),
        "next": [{"what": what, "command": command} for what, command in next_steps(folder, shown)],
    }


def read_report(folder: Path) -> dict[str, Any]:
    """The report in a folder; empty where there is none that can be read."""
    try:
        said = json.loads((folder / REPORT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def next_steps(folder: Path, shown: str) -> Iterator[tuple[str, str]]:
    """What one may do next, and the command for it."""
    path = shlex.quote(shown)
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", folder.name).strip("-.") or "MODEL"  # as hubs and servers take it
    ggufs = [file.name for file in sorted(folder.glob("*.gguf"))]
    whole = (folder / "config.json").is_file() and any(folder.glob("*.safetensors"))
    if (folder / "adapter_config.json").is_file():
        base = _base(folder)
        yield "chat", f"tunesmith chat {path}"
        yield "serve", f"vllm serve {shlex.quote(base)} --enable-lora --lora-modules {name}={path}"
    elif whole or ggufs:
        yield "chat", f"tunesmith chat {path}"
        yield "serve", f"tunesmith api {path} --port 8000"
    if whole:
        yield "vllm", f"vllm serve {path} --served-model-name {name}"
    if (folder / "Modelfile").is_file():
        yield "ollama", f"ollama create {name.lower()} -f {path}/Modelfile"
    elif ggufs:
        projector = next((file for file in ggufs if "mmproj" in file.lower()), None)
        model = next((file for file in ggufs if file != projector), ggufs[0])
        more = f" --mmproj {shlex.quote(f'{shown}/{projector}')}" if projector else ""
        yield "llamacpp", f"llama-server -m {shlex.quote(f'{shown}/{model}')}{more}"
    yield "upload", f"hf upload YOUR_NAME/{name} {path} --private"


def _base(folder: Path) -> str:
    try:
        said = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        return str(said["base_model_name_or_path"])
    except (OSError, ValueError, KeyError):
        return "BASE"


def _files(folder: Path) -> list[dict[str, Any]]:
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return [{"name": path.relative_to(folder).as_posix(), "size": path.stat().st_size} for path in paths]
