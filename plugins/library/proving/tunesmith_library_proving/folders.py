"""Whether a written folder is a model as its base was published: class, configuration, files, special tokens."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from tunesmith.types import ModelHandle
from tunesmith_library_chat import tokenizer_of
from tunesmith_library_publishing.configs import class_name, config_differences
from tunesmith_library_publishing.inventory import read_json

from tunesmith_library_proving.gate import Gate
from tunesmith_library_proving.wording import endings, special_tokens

_READS_TEXT = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "chat_template.jinja")


def prove_folder(gate: Gate, folder: Path, base: Path, model: Any, files: Collection[str]) -> None:
    """Take everything beside the weights into a report.

    Args:
        base: the folder that the model was loaded from.
        model: of transformers, as it was written.
        files: names that the folder must have beside those of every model.
    """
    said = read_json(folder / "config.json")
    wanted = class_name(model, base)
    found = said.get("architectures")
    wrong = [] if found == [wanted] else [f"config.json names the class {found}, and the model is a {wanted}"]
    gate.add("class", wrong, name=wanted)
    gate.add("configuration", [] if not said else config_differences(model, folder))
    needed = {"config.json", *files, *(name for name in _READS_TEXT if (base / name).is_file())}
    needed |= {"generation_config.json"} if model.can_generate() else set()
    gate.add("files", [f"{name} is missing" for name in sorted(needed) if not (folder / name).is_file()])


def of_tokenizer(folder: Path, handle: ModelHandle, written: Any, writes: bool) -> Iterator[str]:
    """How the special tokens of a folder differ from the trained ones, and what of the trained ends no answer there.

    Args:
        written: the folder's tokenizer.
        writes: whether it is a model that gives answers.
    """
    yield from special_tokens(tokenizer_of(written), tokenizer_of(handle.processor))
    if writes:
        yield from endings(folder, handle)
