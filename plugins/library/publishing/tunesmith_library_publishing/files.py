"""The files beside a base's weights: licence, model card, what reads images, vocabularies, the code of a model.

A file that the run did not change is copied bit for bit. Left out are weights in other forms, hidden files and
folders, whatever belongs to a run, and the vocabularies of a tokenizer that has got further tokens.
"""

from __future__ import annotations

import json
import shutil
import stat
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith_library_configuration.records import CONFIGURATION, MARKER

from tunesmith_library_publishing.inventory import RECORD, read_json

_WEIGHTS = {".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".msgpack", ".h5", ".onnx", ".gguf", ".pkl", ".npz", ".ot"}
_WRITTEN = {"config.json", "generation_config.json", "chat_template.jinja"}  # by whoever writes the result
_OF_TOKENIZER = {
    *("vocab.json", "merges.txt", "vocab.txt", "special_tokens_map.json", "added_tokens.json"),
    *("tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "tiktoken.model"),
}
# Of a tokenizer.json; how long a text may be is set by whoever encoded last.
_MEANING = ("added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder", "model")
_RUN = "run.yaml"
_STATE = "trainer_state.json"  # of a training, ours or another's
_OF_CHECKPOINT = {MARKER, CONFIGURATION, "training_state"}  # of ours, beside its model


@dataclass(frozen=True)
class Files:
    """What became of the files beside a base's weights."""

    kept: tuple[str, ...]  # copied bit for bit
    left: tuple[str, ...]  # left out, though they are no weights

    def described(self) -> str:
        """The counts in words."""
        left = f"; left out: {', '.join(self.left)}" if self.left else ""
        return f"{len(self.kept)} of the base's copied ({', '.join(self.kept)}){left}" if self.kept or left else "none"


OF_FEW_BITS = ("quantize_config.json", "quant_config.json")
"""Files that say in what few bits the weights beside them are."""


def keep_files(base: Path, folder: Path, without: Collection[str] = ()) -> Files:
    """Copy the files of a base that a result lacks, or holds in other words.

    Args:
        base: its folder, or the folder of a run that trained a whole model.
        folder: of the result, in which configuration, tokenizer and template are written.
        without: names of files that say nothing of the result.
    """
    same_tokens = _same_tokens(base / "tokenizer.json", folder / "tokenizer.json")
    kept, left = [], []
    for entry in sorted(base.iterdir()):
        name = entry.name
        if name.startswith(".") or _is_weights(entry) or name in _WRITTEN or not _belongs(name, base):
            continue
        if entry.is_dir() or name in without or (name in _OF_TOKENIZER and not same_tokens):
            left.append(f"{name}/" if entry.is_dir() else name)
        elif name == "chat_template.json":
            _write_template(folder)
        elif name == "tokenizer_config.json":
            _keep_tokenizer_config(entry, folder, same_tokens)
        elif name != "tokenizer.json" or same_tokens:
            shutil.copyfile(entry, folder / name)
            kept.append(name)
    return Files(tuple(kept), tuple(left))


def record_files(record: Path, files: Files) -> None:
    """Remember in a run's record which of its files were the base's."""
    said = read_json(record) | {"files": list(files.kept)}
    record.write_text(json.dumps(said, indent=0) + "\n", encoding="utf-8")


def _belongs(name: str, base: Path) -> bool:
    """Whether a file is the base's: in a run's folder only what the run recorded as such is, and of a checkpoint
    nothing by which its training goes on."""
    if not (base / _RUN).is_file():
        is_checkpoint = (base / MARKER).is_file()
        return name not in (RECORD, _STATE) and not (is_checkpoint and name in _OF_CHECKPOINT)
    own: Collection[str] = read_json(base / RECORD).get("files", ())
    return name in own or name in ("tokenizer.json", "tokenizer_config.json")


def _is_weights(entry: Path) -> bool:
    return entry.suffix in _WEIGHTS or entry.name.endswith(".index.json")


def _same_tokens(one: Path, other: Path) -> bool:
    """Whether two tokenizer.json say the same, in whatever words."""
    if not (one.is_file() and other.is_file()):
        return False
    return _meaning(one) == _meaning(other)


def _meaning(file: Path) -> list[Any]:
    said = read_json(file)
    return [_without_defaults(said.get(name)) for name in _MEANING]


def _without_defaults(value: Any) -> Any:
    """Merges are written as pairs or as words with a space between them, and what is null may be left out."""
    if isinstance(value, dict):
        return {name: _without_defaults(item) for name, item in value.items() if item is not None}
    if isinstance(value, list):
        pairs = all(isinstance(item, list) and len(item) == 2 and isinstance(item[0], str) for item in value)
        return [" ".join(item) for item in value] if pairs and value else [_without_defaults(item) for item in value]
    return value


def _keep_tokenizer_config(original: Path, folder: Path, same_tokens: bool) -> None:
    """The base's words for a tokenizer that has the base's tokens, with the trained template and a padding token."""
    if not same_tokens:
        return
    said, written = read_json(original), read_json(folder / original.name)
    if "chat_template" in said:
        said["chat_template"] = _template(folder, written)
    if not said.get("pad_token") and written.get("pad_token"):
        said["pad_token"] = written["pad_token"]
    text = json.dumps(said, indent=2, ensure_ascii=False) + "\n"
    (folder / original.name).write_text(text, encoding="utf-8")


def _write_template(folder: Path) -> None:
    """Older programs read the template of what reads images from a file of its own."""
    template = _template(folder, read_json(folder / "tokenizer_config.json"))
    text = json.dumps({"chat_template": template}, indent=2, ensure_ascii=False) + "\n"
    (folder / "chat_template.json").write_text(text, encoding="utf-8")


def _template(folder: Path, tokenizer_config: dict[str, Any]) -> Any:
    """The trained template, as the tokenizer was saved with it."""
    file = folder / "chat_template.jinja"
    return file.read_text(encoding="utf-8") if file.is_file() else tokenizer_config.get("chat_template")


def open_to_readers(file: Path) -> None:
    """Let a file of weights be read by whoever may read other new files: safetensors leaves it to its owner alone, and
    what serves a model is often another user."""
    with tempfile.TemporaryDirectory(dir=file.parent) as workshop:
        usual = Path(workshop) / "usual"
        usual.touch()
        file.chmod(stat.S_IMODE(usual.stat().st_mode))
