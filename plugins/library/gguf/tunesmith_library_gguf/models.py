"""What a folder of transformers becomes as a GGUF file: its layout and metadata, before any weight is read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from transformers import AutoConfig
from tunesmith import TunesmithError, announce
from tunesmith.messages import logger
from tunesmith_library_publishing.inventory import read_json, tensors_of

from tunesmith_library_gguf.families import Family, family_of, refuse, unapplied, unknown
from tunesmith_library_gguf.parameters import parameters
from tunesmith_library_gguf.tensors import layout
from tunesmith_library_gguf.tokens import unnormalised, vocabulary
from tunesmith_library_gguf.towers import ADVICE
from tunesmith_library_gguf.writing import Model

_PHI3 = re.compile(r"phi-?3", re.IGNORECASE)


def model_of(folder: Path, name: str, pre_tokenizer: str | None = None) -> Model:
    """Plan the file of a model.

    Args:
        folder: a whole model, as transformers loads it.
        name: that programs show.
        pre_tokenizer: llama.cpp's name of how text is cut; None finds it.

    Raises: TunesmithError when llama.cpp, or this writer, does not have such a model.
    """
    family = known_family(folder)
    config = configuration(folder)
    refuse(config, family)
    stored = tensors_of(folder)
    metadata = parameters(config, family) | vocabulary(folder, int(config["vocab_size"]), pre_tokenizer)
    return Model(family.architecture, shown(name, folder), folder, stored, layout(stored, config, family), metadata)


def shown(name: str, folder: Path) -> str:
    """The name of a model, by which llama.cpp knows whether special tokens take the white space behind them along.

    It does so for names with `phi-3` or `phi3` in them, and a file has no other way to say it.
    """
    added = read_json(folder / "tokenizer.json").get("added_tokens") or ()
    takes, named = any(token.get("rstrip") for token in added), bool(_PHI3.search(name))
    if takes == named:
        return name
    found = f"{name} phi-3" if takes else _PHI3.sub("phi 3", name)
    announce("general.name", found, "llama.cpp knows by it how special tokens are found")
    return found


def known_family(folder: Path) -> Family:
    """The row of a folder's model.

    Raises: TunesmithError for an architecture that is not written here, and for a classifier.
    """
    said = read_json(folder / "config.json")
    family = family_of(said)
    if family is None:
        raise TunesmithError(unknown(said))
    named = next(iter(said.get("architectures") or ()), "")
    if "Classification" in named or "RewardModel" in named:
        raise TunesmithError(
            f"the model is a {named}, and GGUF files here are of models that write.\n"
            "  exporter=merged writes it for transformers"
        )
    return family


def configuration(folder: Path) -> dict[str, Any]:
    """The configuration of a folder's language model with transformers' defaults, as a dictionary."""
    said: dict[str, Any] = AutoConfig.from_pretrained(folder).to_dict()
    return said | (said.get("text_config") or {})


def tell(model: Model, projector: bool = False) -> dict[str, Any]:
    """Say what of a model is not in its file, and what llama.cpp computes without; the same for the report.

    Args:
        projector: whether what reads pictures is written too.
    """
    family, config = known_family(model.folder), configuration(model.folder)
    normalised = unnormalised(model.folder)
    left, limits = model.layout.left, [*unapplied(config, family), *([normalised] if normalised else [])]
    if left and not projector:
        part = left[0].removeprefix("model.").partition(".")[0]
        logger.warning(
            "GGUF: %d tensors are left out, such as those of %s: the file is of the language model, and what reads "
            "pictures, which llama.cpp has in a file of its own (mmproj), is not written; %s",
            len(left),
            part,
            ADVICE,
        )
    for limit in limits:
        announce("in llama.cpp", limit, f"what {family.architecture} computes there")
    if left or limits:
        return {"left_out": len(left), "otherwise": limits}
    return {}
