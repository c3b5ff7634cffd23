"""Whether onnxruntime makes the trained model of what was written, judged by its precision beside the base's."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import transformers
from tunesmith import TunesmithError, announce
from tunesmith.messages import logger
from tunesmith.types import ModelHandle
from tunesmith_library_chat import tokenizer_of
from tunesmith_library_proving.figures import Figures, Limits
from tunesmith_library_proving.gate import Gate
from tunesmith_library_proving.readers import load_folder
from tunesmith_library_proving.texts import texts_of
from tunesmith_library_proving.wording import endings, special_tokens
from tunesmith_library_publishing.inventory import numbers_of, read_json

from .building import Wanted, build, name_tokenizer
from .reading import GenaiReader, GraphReader

_CONFIG = "genai_config.json"
_ENGINE = "template_in_onnxruntime_genai"
_SHORT = 16  # tokens of the first of several texts that are read at once
# By how much whole numbers may change what is said; a base that does not bear them is told of, and allows for more.
_ROUNDED = {
    "fp32": Limits(divergence=0.05),  # of the merged model, which is in the base's 16 bits
    "fp16": Limits(divergence=0.01, beside_base=5.0),
    "int8": Limits(divergence=0.05, beside_base=4.0),
    "int4": Limits(divergence=0.25, beside_base=4.0),
}


def prove(handle: ModelHandle, merged: Path, folder: Path, wanted: Wanted) -> None:
    """Load what was written in the program that serves it, compare it with the trained model, and write the report.

    Args:
        merged: the folder that it was made of.

    Raises: TunesmithError that lists everything that differs.
    """
    gate = Gate("onnx", handle, folder.parent)
    trained = gate.trained()
    reader: Any = _opened(folder) if trained.writes else GraphReader(folder, _tokenizer(folder))
    now = gate.look(reader)
    if wanted.precision == "fp32":
        before = gate.look(load_folder(merged), answers=False)
        try:
            gate.refuse("building the graph", before, now, Limits(largest=wanted.tolerance))
        except TunesmithError as error:
            raise TunesmithError(f"{error}{_of_positions(merged)}") from error
    base = _drift(gate, handle, folder, wanted) if trained.writes else None
    gate.expect(trained, now, _limits(merged, wanted), reader, base)
    special = special_tokens(tokenizer_of(reader.processor), tokenizer_of(handle.processor))
    if trained.writes:
        gate.wording(reader, [*special, *endings(folder, handle), *_served_endings(folder)])
        gate.add(_ENGINE, [], **_own_template(reader, handle))
    else:
        gate.wording(reader, special)
        gate.add("batches", list(_batches(reader, handle, 10 * wanted.tolerance)))
    gate.finish(folder)


def _of_positions(merged: Path) -> str:
    """What may be the cause of a graph that says something else; "" where a model turns positions in the plain way."""
    config = read_json(merged / "config.json")
    rope = (config.get("text_config") or config).get("rope_parameters") or {}
    parts = [part for part in (rope, *rope.values()) if isinstance(part, dict)]
    scaled = {str(part["rope_type"]) for part in parts if part.get("rope_type", "default") != "default"}
    if not scaled:
        return ""
    types = ", ".join(sorted(scaled))
    said = f"positions are scaled here (rope_type={types}), which the builder gets wrong for some models"
    return f"\n  {said}\n  exporter=merged writes this one"


def _tokenizer(folder: Path) -> Any:
    return transformers.AutoTokenizer.from_pretrained(folder)


def _opened(folder: Path) -> GenaiReader:
    """The folder in onnxruntime-genai, which knows some classes of tokenizers by their names alone."""
    try:
        return GenaiReader(folder, _tokenizer(folder))
    except TunesmithError as error:
        former = name_tokenizer(folder) if "tokenizer class" in str(error) else None
        if former is None:
            raise
        announce("tokenizer", "as its tokenizer.json has it", f"onnxruntime-genai does not know the class {former}")
        return GenaiReader(folder, _tokenizer(folder))


def _limits(merged: Path, wanted: Wanted) -> Limits:
    """What the format may change of the trained model; nothing where it keeps all digits."""
    exact = wanted.precision == "fp32" and numbers_of(merged).common == "float32"
    return Limits(largest=wanted.tolerance) if exact else _ROUNDED[wanted.precision]


def _drift(gate: Gate, handle: ModelHandle, folder: Path, wanted: Wanted) -> Figures | None:
    """What the same precision takes from the base that an adapter was trained over; None where there is none to ask."""
    base, rows = handle.source.path, len(tokenizer_of(handle.processor))
    if handle.adapter is None or wanted.precision == "fp32":
        return None
    reader = load_folder(base)
    if reader.model.get_input_embeddings().weight.shape[0] < rows:
        announce("base", "not compared in this format", "the run has added tokens that it does not know")
        return None
    before = gate.look(reader, answers=False)
    del reader
    with tempfile.TemporaryDirectory(dir=folder.parent) as workshop:
        build(base, Path(workshop) / "base", wanted)
        return gate.figures(before, gate.look(_opened(Path(workshop) / "base"), answers=False))


def _served_endings(folder: Path) -> Iterator[str]:
    """What ends an answer by generation_config.json, and does not where the folder is served."""
    said, served = (_listed(_eos(folder)), _listed(read_json(folder / _CONFIG)["model"]["eos_token_id"]))
    for token in said:
        if token not in served:
            yield f"token {token} ends no answer in {_CONFIG}"


def _eos(folder: Path) -> Any:
    return read_json(folder / "generation_config.json").get("eos_token_id")


def _listed(value: Any) -> list[int]:
    return [] if value is None else value if isinstance(value, list) else [value]


def _own_template(reader: GenaiReader, handle: ModelHandle) -> dict[str, str]:
    """How the program's own engine writes the first conversation otherwise; {} where it writes them all as trained."""
    try:
        for text in (text for text in texts_of(handle).texts if text.messages):
            for prompt, trained in ((False, text.text), (True, text.prompt)):
                said = reader.own_text(text, prompt)
                if said != trained:
                    at = next((at for at, (a, b) in enumerate(zip(said, trained, strict=False)) if a != b), 0)
                    raise TunesmithError(f"it writes {said[at : at + 40]!r} for {trained[at : at + 40]!r}")
    except TunesmithError as error:
        advice = "write conversations with the folder's tokenizer in transformers"
        logger.warning("%s does not write the chat template as it is: %s; %s", reader.program, error, advice)
        return {"otherwise": str(error)}
    return {}


def _batches(reader: GraphReader, handle: ModelHandle, tolerance: float) -> Iterator[str]:
    """How what the graph says of texts beside each other differs from what it says of each alone."""
    rows = [text.compared(_SHORT + 8 * at) for at, text in enumerate(texts_of(handle).texts[:3])]
    alone = [reader.batch([row], 0)[0] for row in rows]
    beside = reader.batch(rows, tokenizer_of(reader.processor).pad_token_id or 0)
    for row, one, other in zip(rows, alone, beside, strict=True):
        found = other if other.ndim == 1 else other[: len(row)]
        if (one - found).abs().max() > tolerance:
            yield f"a text of {len(row)} tokens has other scores beside longer ones, by {(one - found).abs().max():.2g}"
