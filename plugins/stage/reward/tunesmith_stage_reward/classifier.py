"""A causal language model becomes transformers' sequence classifier of one label, on the same backbone.

Saved, it is what `AutoModelForSequenceClassification` loads. While it is trained it scores every token, so that batches
of concatenated sequences work; transformers' own forward takes the score of a row's last token.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import MethodType
from typing import Any

import torch
from safetensors import safe_open
from torch import nn
from transformers import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING
from transformers.modeling_outputs import SequenceClassifierOutputWithPast
from tunesmith import TunesmithError, announce
from tunesmith.types import Batch
from tunesmith_library_training import zero

# What transformers knows of a model that it loaded: how it quantised it, and how it renamed tensors.
_QUANTISED = ("hf_quantizer", "is_quantized", "is_loaded_in_4bit", "is_loaded_in_8bit", "quantization_method")
_LOADED = (*_QUANTISED, "_weight_conversions")


def to_classifier(model: Any, tokenizer: Any) -> Any:
    """Put a fresh scalar head in the place of the output layer.

    Args:
        model: a causal language model; it is taken apart.
        tokenizer: its padding token is written into the model's configuration: by it transformers finds the last token
            of each sequence of a padded batch.

    Returns: the sequence classifier of the same architecture, with `head_name(it)` its head, in evaluation the forward
        of transformers, and `fresh_modules` for adapters.
    Raises: TunesmithError for an architecture that transformers has no sequence classifier of, or when there is no
        padding token.
    """
    config = model.config
    if type(config) not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
        raise TunesmithError(f"stage.reward: transformers has no sequence classifier for {config.model_type}")
    if tokenizer.pad_token_id is None:
        raise TunesmithError(
            "stage.reward: the tokenizer has neither a pad_token nor an eos_token, and a classifier finds the end of a "
            "sequence by it.\n  set pad_token in the model's tokenizer_config.json"
        )
    config.num_labels = 1
    config.pad_token_id = config.get_text_config().pad_token_id = tokenizer.pad_token_id
    with zero.made_whole(), torch.device("meta"):
        classifier_class: Any = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[type(config)]
        classifier = classifier_class(config)
    if classifier.base_model_prefix != model.base_model_prefix:
        raise TunesmithError(f"stage.reward: {type(classifier).__name__} has another backbone than {config.model_type}")
    setattr(classifier, classifier.base_model_prefix, model.base_model)
    head = getattr(classifier, head_name(classifier))
    head.to_empty(device=model.get_input_embeddings().weight.device)
    head.to(model.dtype)
    for parameter in head.parameters():
        nn.init.normal_(parameter, std=config.get_text_config().initializer_range)
    for name in _LOADED:
        if hasattr(model, name):
            setattr(classifier, name, getattr(model, name))
    classifier.fresh_modules = [head_name(classifier)]
    return classifier.train(model.training)


def head_name(classifier: Any) -> str:
    """The name of a classifier's head: the one child that is not the backbone."""
    names: list[str] = [name for name, module in classifier.named_children() if module is not classifier.base_model]
    (name,) = names
    return name


def holds_classifier(folder: Path) -> bool:
    """Whether a model's folder says that it holds a sequence classifier."""
    file = folder / "config.json"
    config = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return any(name.endswith("ForSequenceClassification") for name in config.get("architectures") or ())


@contextmanager
def unreported(folder: Path) -> Iterator[None]:
    """Keep transformers from reporting that a reward model lacks the output layer, whose place its head will take."""
    log = logging.getLogger("transformers.modeling_utils")
    level = log.level
    if holds_classifier(folder):
        log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def load_head(classifier: Any, folder: Path) -> bool:
    """Fill the head with the weights of a reward model's folder, so that it can be trained on, or exported.

    Returns: whether the folder is one; a language model, and a classifier of another number of labels, are none.
    """
    if not holds_classifier(folder):
        return False
    head = getattr(classifier, head_name(classifier))
    wanted = {f"{head_name(classifier)}.{name}": parameter for name, parameter in head.named_parameters()}
    found: dict[str, torch.Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as weights:
            found |= {name: weights.get_tensor(name) for name in wanted.keys() & set(weights.keys())}
    if any(name not in found or found[name].shape != parameter.shape for name, parameter in wanted.items()):
        return False
    with torch.no_grad():
        for name, parameter in wanted.items():
            parameter.copy_(found[name])
    announce("head", head_name(classifier), f"from {folder}")
    return True


def score_every_token(classifier: Any) -> None:
    """Give a classifier the forward of training."""
    classifier.forward = MethodType(score_tokens, classifier)


def score_tokens(self: Any, *args: Any, **inputs: Any) -> SequenceClassifierOutputWithPast:
    """A classifier's forward in training: `logits` (B, T, 1) fp32, a score for the text up to each token."""
    hidden = self.base_model(*args, **inputs).last_hidden_state
    head = getattr(self, head_name(self))
    weights = list(head.parameters())
    dtype = next((weight.dtype for weight in weights if weight.requires_grad), weights[0].dtype)
    with torch.autocast(hidden.device.type, enabled=False):
        return SequenceClassifierOutputWithPast(logits=head(hidden.to(dtype)).float())


def last_scores(scores: torch.Tensor, batch: Batch, pad_token_id: int | None) -> torch.Tensor:
    """The score of each sequence's last token: (B, T, 1) -> number of sequences.

    It is the last one that is not the padding token, as transformers reads it: where a tokenizer pads with the token
    that ends a text, that is the token before.
    """
    tokens, bounds = batch["input_ids"], batch.get("cu_seq_lens_q")
    places = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
    places = places if pad_token_id is None else places * (tokens != pad_token_id)
    if bounds is None:
        last = (places * batch["attention_mask"]).amax(dim=1)
        return scores[torch.arange(len(scores), device=scores.device), last, 0]
    lengths = bounds.diff().long()
    numbers = torch.arange(len(lengths), device=tokens.device).repeat_interleave(lengths, output_size=tokens.shape[1])
    last = bounds[:-1].long().scatter_reduce(0, numbers, places[0], "amax")  # at least the first token
    return scores[0, last, 0]
