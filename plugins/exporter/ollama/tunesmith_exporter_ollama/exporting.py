"""The folder that `ollama create` takes: the GGUF file, the Modelfile, what proves them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith import TunesmithError, announce
from tunesmith.files import replacing
from tunesmith.messages import logger
from tunesmith.types import ModelHandle
from tunesmith_library_chat import tokenizer_of
from tunesmith_library_gguf.exporting import Wanted, named, write_files
from tunesmith_library_gguf.kinds import KINDS
from tunesmith_library_gguf.reading import adds_beginning
from tunesmith_library_proving.gate import REPORT
from tunesmith_library_proving.texts import texts_of
from tunesmith_library_publishing.cards import Kind, write_card
from tunesmith_library_publishing.inventory import read_json

from .families import family_of
from .limits import plain_name
from .modelfile import modelfile
from .program import Program, running

_SAMPLING = {
    **{"temperature": "temperature", "top_p": "top_p", "top_k": "top_k", "min_p": "min_p"},
    "repetition_penalty": "repeat_penalty",
}


@dataclass(frozen=True)
class Asked:
    """What a user wants of the Modelfile."""

    name: str | None  # of the model in Ollama
    system: str | None
    go: bool  # whether it has a template in Go
    builtin: Mapping[str, str]  # RENDERER and PARSER
    parameters: Mapping[str, float]


def export_ollama(handle: ModelHandle, output_dir: Path, wanted: Wanted, asked: Asked) -> None:
    """Write the folder, and prove it in llama.cpp, and in Ollama where that is running.

    Raises: TunesmithError when the model cannot be written, no Go template writes what was trained, or Ollama makes
        another model of the folder.
    """
    found = family_of(handle.template) if asked.go else None  # before anything is loaded
    name = asked.name or plain_name(named(output_dir, wanted.form))
    with replacing(output_dir) as draft:
        draft.mkdir()
        (file,) = write_files(handle, draft, output_dir, wanted)
        template = found.family.go(beginning=not adds_beginning(file)) if found else None
        text = modelfile(
            file.name,
            system=asked.system or (found.system if found else None),
            template=template,
            builtin=asked.builtin,
            stop=handle.template.stop,
            parameters=_sampling(handle.source.path) | {key: _short(value) for key, value in asked.parameters.items()},
        )
        (draft / "Modelfile").write_text(text, encoding="utf-8")
        if wanted.verify:
            _prove(draft, handle)
        write_card(handle, draft, Kind("gguf", "quantized" if KINDS[wanted.kinds[0]].lossy else "finetune"))
    command = shlex.join(["ollama", "create", name, "-f", str(output_dir / "Modelfile")])
    announce("ollama", command, f"then: ollama run {name}")


def _sampling(folder: Path) -> dict[str, int | float]:
    """How the base draws tokens, by Ollama's names."""
    said = read_json(folder / "generation_config.json")
    found = {name: said[key] for key, name in _SAMPLING.items() if isinstance(said.get(key), int | float)}
    if found and said.get("do_sample", True):
        announce("PARAMETER", ", ".join(f"{name} {value}" for name, value in found.items()), "generation_config.json")
        return found
    return {}


def _short(value: float) -> int | float:
    return int(value) if float(value).is_integer() else value


def _prove(folder: Path, handle: ModelHandle) -> None:
    """Ask Ollama for the run's conversations, where it is running; else the report says that nobody did."""
    program = running()
    if isinstance(program, str):
        logger.warning("exporter=ollama: not proven with Ollama: %s; the file is proven in llama.cpp", program)
        _report(folder, {"program": None, "not_proven": program})
        return
    name = program.create(folder)
    try:
        problems = _differences(program, name, handle)
    finally:
        program.remove(name)
    if problems:
        listed = "\n".join(f"  {problem}" for problem in problems)
        raise TunesmithError(
            f"{program.name} makes another model of the folder than was trained:\n{listed}\n"
            "  nothing of it is kept; exporter.ollama.verify=false writes it all the same"
        )
    _report(folder, {"program": program.name, "equal": True})
    announce("proven", program.name, "the tokens of each conversation's prompt")


def _differences(program: Program, name: str, handle: ModelHandle) -> list[str]:
    encode = tokenizer_of(handle.processor).encode
    problems = []
    for text in texts_of(handle).texts:
        turns = [turn for turn in text.messages if isinstance(turn.get("content"), str)]
        asked = next((at for at, turn in enumerate(turns) if turn["role"] == "user"), None)
        if asked is None or text.tools or not text.prompt:
            continue
        trained = len(encode(text.prompt, add_special_tokens=False))
        served = program.told(name, turns[: asked + 1]).tokens
        if served and served != trained:
            problems.append(f"the prompt {text.prompt[:40]!r} has {served} tokens there, and {trained} in training")
    return problems[:5]


def _report(folder: Path, found: dict[str, Any]) -> None:
    file = folder / REPORT
    said = read_json(file) | {"ollama": found}
    file.write_text(json.dumps(said, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
