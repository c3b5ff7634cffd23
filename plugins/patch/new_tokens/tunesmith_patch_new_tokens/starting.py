"""The rows of tokens that a base does not have."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tunesmith import TunesmithError, announce
from tunesmith.types import ModelSource
from tunesmith_library_chat import tokenizer_of

Tensor = torch.Tensor


def start_rows(
    model: Any, processor: Any, source: ModelSource, tokens: Sequence[str], start: str, descriptions: Mapping[str, str]
) -> None:
    """Set the rows of those of the tokens that the model's own tokenizer does not know, in both matrices.

    A run's whole model knows them: its rows stay as they were trained. An adapter's base does not, and gets the same
    rows as in training, by the seed of the run.

    Args:
        source: the folder that the model was loaded from, and the seed.
        start: as the option of this name.
        descriptions: token -> what it stands for.

    Raises: TunesmithError when a matrix holds no floating-point numbers.
    """
    tokenizer = tokenizer_of(processor)
    known = _known(source.path, tokens)
    new = {token: int(tokenizer.convert_tokens_to_ids(token)) for token in tokens if token not in known}
    if not new:
        return
    described, empty = _described(tokenizer, new, descriptions if start.startswith("description") else {})
    generator = torch.Generator().manual_seed(source.seed)
    for weight in _matrices(model):
        rows = torch.stack(_starts(weight, new, described))
        if start.endswith("noise"):
            rows += torch.randn(rows.shape, generator=generator, dtype=torch.float32) / math.sqrt(weight.shape[1])
        with torch.no_grad():
            weight[list(new.values())] = rows.to(weight)
    announce("rows of new tokens", f"{len(new)} start at {_in_words(start, len(described), len(new))}", _listed(new))
    if empty:
        announce("descriptions", f"{len(empty)} have no token of the base: the mean instead", _listed(empty))


def _known(folder: Path, tokens: Sequence[str]) -> set[str]:
    """Those of the tokens that the tokenizer in a folder has."""
    if (folder / "tokenizer.json").is_file():
        from tokenizers import Tokenizer

        own = Tokenizer.from_file(str(folder / "tokenizer.json"))
        return {token for token in tokens if own.token_to_id(token) is not None}
    from transformers import AutoTokenizer

    vocabulary = AutoTokenizer.from_pretrained(folder).get_vocab()
    return {token for token in tokens if token in vocabulary}


def _described(
    tokenizer: Any, new: Mapping[str, int], descriptions: Mapping[str, str]
) -> tuple[dict[str, list[int]], list[str]]:
    """The tokens of each description that have rows to start from, and the tokens whose description has none."""
    found, empty = {}, []
    for token, text in descriptions.items():
        if token not in new or not text.strip():
            continue
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        known = [index for index in ids if index not in new.values()]
        if known:
            found[token] = known
        else:
            empty.append(token)
    return found, empty


def _matrices(model: Any) -> list[Tensor]:
    """The weights that have a row per token: embeddings and output head, once where they are one."""
    layers = (model.get_input_embeddings(), model.get_output_embeddings())
    weights = [layer.weight for layer in layers if layer is not None]
    weights = weights[:1] if len(weights) > 1 and weights[0] is weights[1] else weights
    for weight in weights:
        if not weight.is_floating_point():
            raise TunesmithError(
                f"patch.new_tokens: the embeddings hold {weight.dtype}, in which no row can be set.\n"
                "  load the model without a quantizer"
            )
    return weights


def _starts(weight: Tensor, new: Mapping[str, int], described: Mapping[str, Sequence[int]]) -> list[Tensor]:
    """Where each new row starts without noise: (width,) fp32 on the CPU."""
    own = torch.zeros(len(weight), dtype=torch.bool, device=weight.device)
    own[list(new.values())] = True
    exact = torch.float32 if weight.device.type == "mps" else torch.float64
    sums = weight.detach().sum(0, dtype=exact) - weight.detach()[own].sum(0, dtype=exact)
    mean = (sums / (len(weight) - len(new))).float().cpu()
    return [
        weight.detach()[list(described[token])].float().mean(0).cpu() if token in described else mean for token in new
    ]


def _in_words(start: str, described: int, count: int) -> str:
    noise = ", with noise" if start.endswith("noise") else ""
    if not described:
        return f"the mean of the others{noise}"
    others = f", {count - described} at the mean" if described < count else ""
    return f"their descriptions{others}{noise}"


def _listed(tokens: Any) -> str:
    names = list(tokens)
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
