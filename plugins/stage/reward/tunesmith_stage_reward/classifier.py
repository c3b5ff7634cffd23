"""A causal language model becomes transformers' sequence classifier of one label, on the same backbone.

Saved, it is what `AutoModelForSequenceClassification` loads. While it is trained it scores every token, so that batches
of concatenated sequences work; transformers' own forward takes the score of a row's last token.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from torch import nn
from transformers import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING
from transformers.modeling_outputs import SequenceClassifierOutputWithPast
from tunesmith import TunesmithError
from tunesmith.types import Batch

# What transformers knows of a model that it quantised while loading.
_QUANTISED = ("hf_quantizer", "is_quantized", "is_loaded_in_4bit", "is_loaded_in_8bit", "quantization_method")


def to_classifier(model: Any, tokenizer: Any) -> Any:
    """Put a fresh scalar head in the place of the output layer.

    Args:
        model: a causal language model; it is taken apart.

    Returns: the sequence classifier of the same architecture, with `head_name(it)` its head.
    Raises: TunesmithError for an architecture that transformers has no sequence classifier of.
    """
    config = model.config
    if type(config) not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
        raise TunesmithError(f"stage.reward: transformers has no sequence classifier for {config.model_type}")
    config.num_labels = 1
    config.pad_token_id = tokenizer.pad_token_id
    with torch.device("meta"):
        classifier = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[type(config)](config)
    if classifier.base_model_prefix != model.base_model_prefix:
        raise TunesmithError(f"stage.reward: {type(classifier).__name__} has another backbone than {config.model_type}")
    setattr(classifier, classifier.base_model_prefix, model.base_model)
    head = getattr(classifier, head_name(classifier))
    head.to_empty(device=model.get_input_embeddings().weight.device)
    head.to(model.dtype)
    for parameter in head.parameters():
        nn.init.normal_(parameter, std=config.get_text_config().initializer_range)
    for name in _QUANTISED:
        if hasattr(model, name):
            setattr(classifier, name, getattr(model, name))
    classifier.forward = MethodType(score_tokens, classifier)
    return classifier.train(model.training)


def head_name(classifier: Any) -> str:
    """The name of a classifier's head: the one child that is not the backbone."""
    (name,) = (name for name, module in classifier.named_children() if module is not classifier.base_model)
    return name


def score_tokens(self: Any, *args: Any, **inputs: Any) -> SequenceClassifierOutputWithPast:
    """A classifier's forward in training: `logits` (B, T, 1) fp32, a score for the text up to each token."""
    hidden = self.base_model(*args, **inputs).last_hidden_state
    head = getattr(self, head_name(self))
    weights = list(head.parameters())
    dtype = next((weight.dtype for weight in weights if weight.requires_grad), weights[0].dtype)
    with torch.autocast(hidden.device.type, enabled=False):
        return SequenceClassifierOutputWithPast(logits=head(hidden.to(dtype)).float())


def last_scores(scores: torch.Tensor, batch: Batch) -> torch.Tensor:
    """The score of each sequence's last token: (B, T, 1) -> number of sequences."""
    bounds = batch.get("cu_seq_lens_q")
    if bounds is not None:
        return scores[0, bounds[1:].long() - 1, 0]
    last = batch["attention_mask"].sum(dim=1) - 1
    return scores[torch.arange(len(scores), device=scores.device), last, 0]
