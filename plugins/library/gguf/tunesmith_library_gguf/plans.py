"""What of a plan keeps a model from becoming a GGUF file, said before anything is loaded. Nothing heavy is imported."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tunesmith.errors import choices
from tunesmith.types import Problem
from tunesmith_library_llamacpp.program import INSTALL, is_installed
from tunesmith_library_publishing.pushing import push_problems
from tunesmith_library_weights.bases import base_problems

from tunesmith_library_gguf.converting import FETCH, SCRIPT
from tunesmith_library_gguf.families import INSTEAD, family_of, otherwise, unknown
from tunesmith_library_gguf.kinds import KINDS
from tunesmith_library_gguf.pretokenizers import pre_tokenizers

if TYPE_CHECKING:
    from tunesmith.planning import Plan

_OF_ADAPTERS = ("f32", "f16", "bf16")
_OF_HEADS = {"head_dim", "hidden_size", "num_attention_heads", "num_hidden_layers"}


def kind_problems(key: str, kinds: Sequence[str], importance: bool, adapter: bool = False) -> list[Problem]:
    """Names of numbers that there are none of, or that need something else.

    Args:
        key: of the exporter, as in `exporter.gguf`.
        adapter: whether an adapter alone is written.
    """
    place, possible = f"{key}.type", _OF_ADAPTERS if adapter else tuple(KINDS)
    problems = []
    if not kinds:
        problems.append(Problem(place, f"{place} names no numbers.", choices("", possible, "there are")))
    for kind in kinds:
        if kind not in possible:
            what = "no numbers of an adapter" if adapter else "no numbers of a GGUF file"
            problems.append(Problem(place, f"{place}={kind} is {what}.", choices(kind, possible, "there are")))
        elif KINDS[kind].important and not importance:
            message = f"{place}={kind} is too few bits for rounding that does not know what matters."
            problems.append(Problem(place, message, f"{key}.imatrix=true measures it on the run's conversations"))
    return problems


def program_problems(key: str, kinds: Sequence[str], verify: bool, importance: bool) -> list[Problem]:
    """llama.cpp is missing, and needed to prove, to round or to measure."""
    by_llama = [kind for kind in kinds if kind in KINDS and not KINDS[kind].own]
    if is_installed() or not (verify or by_llama or importance):
        return []
    needs = f"{key}.type={by_llama[0]} is rounded" if by_llama else "what is written is proven"
    needs = f"{key}.imatrix is measured" if importance and not by_llama else needs
    advice = INSTALL if by_llama or importance else f"{INSTALL}\nor {key}.verify=false, and the file stays unproven"
    return [Problem(key, f"{needs} by llama.cpp, and llama-cpp-python is not installed.", advice)]


def cutting_problems(key: str, asked: str | None) -> list[Problem]:
    """A way to cut text into words that llama.cpp does not know.

    Args:
        asked: its name; None is found in the tokenizer.
    """
    if asked is None or asked in pre_tokenizers():
        return []
    message = f"{key}.pre_tokenizer={asked} is none that llama.cpp knows."
    return [Problem(f"{key}.pre_tokenizer", message, choices(asked, pre_tokenizers(), "it knows"))]


def architecture_problems(plan: Plan, key: str, converter: str | None) -> list[Problem]:
    """A model that is not written here, or that llama.cpp computes otherwise.

    Where its config.json is at hand, and no converter is.
    """
    if converter is not None:
        if (Path(converter).expanduser() / SCRIPT).is_file():
            return []
        return [Problem(f"{key}.converter", f"{converter} has no {SCRIPT}.", FETCH.format(key=key))]
    path = plan.get("model.path")
    file = Path(os.path.expanduser(path), "config.json") if isinstance(path, str) else None
    said = json.loads(file.read_text(encoding="utf-8")) if file is not None and file.is_file() else {}
    if not said:
        return []
    family = family_of(said)
    if family is not None:
        config = said | (said.get("text_config") or {}) | (plan.get("model.config") or {})
        if not config.keys() >= _OF_HEADS:  # transformers has defaults for them
            config.pop("query_pre_attn_scalar", None)
        found = list(otherwise(config, family))
        message = f"llama.cpp computes {family.architecture} otherwise than this model: {'; '.join(found)}."
        return [Problem("model.path", message, INSTEAD)] if found else []
    message, _, known = unknown(said).partition("\n")
    return [Problem("model.path", message, f"{known}\nllama.cpp's own converter has more:\n{FETCH.format(key=key)}")]


def file_problems(
    plan: Plan,
    exporter: str,
    kinds: Sequence[str],
    *,
    importance: bool,
    verify: bool,
    pre_tokenizer: str | None,
    converter: str | None,
    adapter: bool = False,
) -> list[Problem]:
    """All that is known beforehand to keep an exporter from writing its GGUF files, or from uploading them."""
    key = f"exporter.{exporter}"
    return [
        *kind_problems(key, kinds, importance, adapter),
        *push_problems(plan, exporter),
        *program_problems(key, kinds, verify, importance),
        *cutting_problems(key, pre_tokenizer),
        *base_problems(plan, exporter),
        *architecture_problems(plan, key, converter),
    ]
