"""The model builder of onnxruntime-genai, called as a library: a folder of transformers becomes a graph."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith import TunesmithError
from tunesmith.messages import logger

from .knowing import PROGRAM, architecture_of, architectures, builder_folder, unknown

GRAPH = "model.onnx"
"""The graph's file; its weights are beside it."""

_OWN_WEIGHTS = (".safetensors", ".bin", ".index.json")
_PLAIN_TOKENIZER = "PreTrainedTokenizerFast"
_OF_THE_MERGED = ("README.md", "export_report.json", "base_weights.json")  # what is written of that folder


@dataclass(frozen=True)
class Wanted:
    """How a model is to be written."""

    precision: str = "fp32"  # the builder's word: fp32, fp16, int8, int4
    device: str = "cpu"  # where it will be served: cpu, cuda, dml, webgpu
    block_size: int = 32  # weights that share one scale, for whole numbers
    verify: bool = True
    tolerance: float = 1e-3  # largest difference of a logit in fp32


def build(source: Path, target: Path, wanted: Wanted) -> None:
    """Write a model as onnxruntime-genai reads it: the graph, its weights, genai_config.json, the tokenizer.

    Args:
        source: a folder of transformers.
        target: is made.

    Raises: TunesmithError when the builder does not know the architecture, or cannot write the model.
    """
    known, found = architectures(), architecture_of(source)
    if found not in known:
        message, advice = unknown(str(found), known)
        raise TunesmithError(f"{message}\n  {advice}")
    # operators that a CPU has too, so that what a GPU will run can be proven, and caches that hold any prompt
    options = ["hf_token=false", "hf_remote=false", "fuse_qk_norm_gqa=false", "windowed_kv_cache=false"]
    options += [f"block_size={wanted.block_size}"] if wanted.precision.startswith("int") else []
    said, cache = io.StringIO(), target.with_name(f"{target.name}-cache")
    try:
        with _own_modules(), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            builder: Any = importlib.import_module(f"{PROGRAM}.models.builder")
            given = (None, str(source), str(target), wanted.precision, wanted.device, str(cache))
            read = builder.parse_extra_options(*given, options)
            _in_its_words(read["hf_details"]["hf_config"])
            builder.create_model(*given, **read)
    except OSError:
        raise
    except Exception as error:
        raise TunesmithError(
            f"onnxruntime-genai's model builder cannot write this {found} in {wanted.precision} for {wanted.device}: "
            f"{type(error).__name__}: {' '.join(str(error).split())[:400]}\n"
            "  exporter=merged writes it for transformers"
        ) from error
    finally:
        shutil.rmtree(cache, ignore_errors=True)
        logger.debug("%s", said.getvalue())
    keep_beside(source, target)


def keep_beside(source: Path, target: Path) -> None:
    """Copy what a folder has beside its weights, where the target has no file of that name."""
    for file in source.iterdir():
        own = file.name.endswith(_OWN_WEIGHTS) or file.name in _OF_THE_MERGED
        if file.is_file() and not own and not (target / file.name).exists():
            shutil.copyfile(file, target / file.name)


def _in_its_words(config: Any) -> None:
    """Say in the builder's words how positions are turned and seen, where it does not understand transformers'.

    transformers has `rope_parameters` by kind of layer; the builder asks for those of the layers that see everything,
    and for `rope_local_base_freq`. A model whose layers differ in more is one that it reads by kind itself. Positions
    that are divided by a factor are a scale of all its models; of YaRN it takes no defaults. A window counts only in
    layers that are named for it.
    """
    part = getattr(config, "text_config", config)
    rope = getattr(part, "rope_parameters", None) or {}
    whole, local = rope.get("full_attention"), rope.get("sliding_attention")
    if whole and local and not hasattr(part, "num_global_key_value_heads"):
        part.rope_parameters, part.rope_theta = dict(whole), whole["rope_theta"]
        part.rope_local_base_freq = local["rope_theta"]
    elif rope.get("rope_type") == "linear":
        part.rope_parameters, part.rope_position_scale = rope | {"rope_type": "default"}, 1 / rope["factor"]
    elif rope.get("rope_type") == "yarn":
        part.rope_parameters = {"beta_fast": 32.0, "beta_slow": 1.0} | rope
    if getattr(part, "sliding_window", None) and getattr(part, "layer_types", None) is None:
        part.layer_types = ["sliding_attention"] * part.num_hidden_layers


def name_tokenizer(folder: Path) -> str | None:
    """Let tokenizer_config.json name the class that reads tokenizer.json as it stands.

    Returns: what it named; None where there is no tokenizer.json, or it does so already.
    """
    file = folder / "tokenizer_config.json"
    said = json.loads(file.read_text(encoding="utf-8"))
    former = said.get("tokenizer_class")
    if former == _PLAIN_TOKENIZER or not (folder / "tokenizer.json").is_file():
        return None
    text = json.dumps(said | {"tokenizer_class": _PLAIN_TOKENIZER}, indent=2, ensure_ascii=False)
    file.write_text(text + "\n", encoding="utf-8")
    return str(former)


@contextlib.contextmanager
def _own_modules() -> Iterator[None]:
    """The builder imports its parts by names at the top level (`builders`, `quantization`), which may be a user's own:
    here they are the builder's, and afterwards what they were."""
    folder = builder_folder()
    assert folder is not None, "the architecture was known"
    names = {entry.stem for entry in folder.iterdir() if not entry.name.startswith("_")}
    held, path = _named(names), list(sys.path)
    for name in held:
        del sys.modules[name]
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path[:] = path
        for name in _named(names):
            del sys.modules[name]
        sys.modules.update(held)


def _named(names: set[str]) -> dict[str, Any]:
    return {name: module for name, module in sys.modules.items() if name.partition(".")[0] in names}
