"""The tokenizer of a folder, or the processor of a multimodal model, and an embedding for each of its tokens."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import transformers
from transformers import AutoProcessor, AutoTokenizer
from tunesmith import TunesmithError, announce
from tunesmith_library_chat import tokenizer_of
from tunesmith_library_media.processors import provide
from tunesmith_library_weights.cut import shape_of

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json", "vocab.txt")
_PROCESSOR_FILES = ("processor_config.json", "preprocessor_config.json")


def load_processor(folder: Path, trust_remote_code: bool) -> Any:
    """Load the tokenizer of a folder, or the processor of a multimodal model.

    Raises: TunesmithError when there is none, or none in Rust.
    """
    if not any((folder / name).is_file() for name in (*_TOKENIZER_FILES, *_PROCESSOR_FILES)):
        found = ", ".join(sorted(entry.name for entry in folder.iterdir())) if folder.is_dir() else "no such folder"
        raise TunesmithError(f"{folder}: no tokenizer here.\n  looked for: tokenizer.json, …\n  found: {found}")
    if not sys.stderr.isatty():  # bars of seconds are noise in a log
        transformers.utils.logging.disable_progress_bar()
    processor = _load(folder, trust_remote_code)
    tokenizer = tokenizer_of(processor)
    if not getattr(tokenizer, "is_fast", False):
        raise TunesmithError(
            f"{folder}: {type(tokenizer).__name__} is not a fast (Rust) tokenizer, and text positions are needed.\n"
            "  save it as tokenizer.json with a version of transformers that converts it"
        )
    if tokenizer.pad_token is None and tokenizer.eos_token is not None:
        tokenizer.pad_token = tokenizer.eos_token
        announce("pad token", tokenizer.pad_token, "the tokenizer has none; masked wherever it stands")
    return processor


def _load(folder: Path, trust_remote_code: bool) -> Any:
    """The processor where there is one and its packages are, else the tokenizer, with which text is trained."""
    missing = ""
    if any((folder / name).is_file() for name in _PROCESSOR_FILES):
        try:
            provide(folder)
            return AutoProcessor.from_pretrained(folder, trust_remote_code=trust_remote_code)
        except ImportError as error:
            missing = " ".join(str(error).split())
        except (OSError, ValueError) as error:
            raise TunesmithError(
                code_refused(folder, error) or f"{folder}: the processor cannot be loaded: {error}"
            ) from error
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
    except (ImportError, OSError, ValueError) as error:
        raise TunesmithError(
            code_refused(folder, error) or f"{folder}: the tokenizer cannot be loaded: {error}"
        ) from error
    if missing:
        announce("processor", "the tokenizer alone, for text", missing.partition(". ")[0])
    return tokenizer


def code_refused(folder: Path, error: Exception) -> str:
    """What to say when transformers will not run the Python code that comes with a model; "" for another error."""
    if "trust_remote_code" not in str(error):
        return ""
    files = ", ".join(sorted(path.name for path in folder.glob("*.py"))) or "code of another repository"
    return (
        f"{folder}: this model comes with Python code of its own ({files}), which is not run.\n"
        "  read it, and if you trust it: model.trust_remote_code=true"
    )


def fit_embeddings(model: Any, processor: Any) -> None:
    """Give every token of the tokenizer an embedding; a matrix that is larger already stays as it is."""
    tokenizer = tokenizer_of(processor)
    rows = shape_of(model.get_input_embeddings().weight)[0]
    if len(tokenizer) > rows:
        model.resize_token_embeddings(len(tokenizer))
        announce("embeddings", f"{rows} -> {len(tokenizer)} tokens", "the tokenizer has more")
