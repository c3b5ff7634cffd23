"""The model with its value head: the log-probabilities, entropies and values of tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from tunesmith import TunesmithError
from tunesmith.types import IGNORED
from tunesmith_library_training.batches import shown
from tunesmith_library_training.prompts import items_shown

Tensor = torch.Tensor


class Sequences(NamedTuple):
    """Prompts with their answers, padded on the right."""

    input_ids: Tensor  # int64 (B, T + 1)
    attention_mask: Tensor  # int64 (B, T + 1)
    mask: Tensor  # bool (B, T): position t predicts a token of the answer at t + 1
    items: Sequence[Mapping[str, Any]]  # B: what each prompt shows, see `prompts.items_shown`

    def rows(self, start: int, stop: int) -> Sequences:
        """Some of them."""
        ids, filled, mask, items = self
        return Sequences(ids[start:stop], filled[start:stop], mask[start:stop], items[start:stop])


class Policy:
    """A causal language model and a linear value head on its last hidden state."""

    def __init__(self, model: Any, temperature: float, precision: str, processor: Any = None) -> None:
        """
        Args:
            processor: of the model, which makes tensors of what prompts show.
        """
        self.model, self.temperature, self.precision, self.processor = model, temperature, precision, processor
        hidden_size = model.config.get_text_config().hidden_size
        self.head = torch.nn.Linear(hidden_size, 1, dtype=torch.float32).to(model.device)
        torch.nn.init.zeros_(self.head.weight)
        torch.nn.init.zeros_(self.head.bias)

    @property
    def weights(self) -> list[Tensor]:
        """The trained weights of the model."""
        return [weight for weight in self.model.parameters() if weight.requires_grad]

    def autocast(self) -> Any:
        """Compute in bf16 where that was asked for."""
        return torch.autocast(self.model.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def sequences(self, examples: Sequence[Mapping[str, Any]], answers: Sequence[list[int]]) -> Sequences:
        """Encoded prompts with their answers as tensors on the model's device."""
        prompts = [list(example["prompt_input_ids"]) for example in examples]
        whole = [prompt + answer for prompt, answer in zip(prompts, answers, strict=True)]
        width = max(map(len, whole))
        ids = torch.tensor([row + [0] * (width - len(row)) for row in whole])
        filled = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in whole])
        starts = torch.tensor([len(prompt) for prompt in prompts])
        mask = (torch.arange(1, width) >= starts[:, None]) & filled[:, 1:].bool()
        ids, filled, mask = (tensor.to(self.model.device) for tensor in (ids, filled, mask))
        return Sequences(ids, filled, mask, [items_shown(example) for example in examples])

    def evaluate(self, sequences: Sequences) -> tuple[Tensor, Tensor, Tensor]:
        """Log-probabilities of the answers' tokens, entropies and values before each of them: (B, T) fp32, else 0."""
        ids, mask = sequences.input_ids, sequences.mask
        inputs = self._inputs(sequences, self.model.device)
        with self.autocast():
            output = self.model(**inputs, output_hidden_states=True, use_cache=False)
        log_probs, entropies = _log_probs(output.logits, ids, mask, self.temperature)
        values = self.head(output.hidden_states[-1][:, :-1].float()).squeeze(-1).masked_fill(~mask, 0.0)
        return log_probs, entropies, values

    def reference_log_probs(self, reference: Any, sequences: Sequences) -> Tensor:
        """Log-probabilities of the answers' tokens by the reference: (B, T) fp32, without gradients."""
        ids, mask = sequences.input_ids, sequences.mask
        with reference.instead_of(self.model) as model, self.autocast():
            logits = model(**self._inputs(sequences, model.device), use_cache=False).logits
        return _log_probs(logits.to(ids.device), ids, mask, self.temperature)[0]

    def _inputs(self, sequences: Sequences, device: Any) -> dict[str, Any]:
        """What a model reads: tokens, and tensors of what prompts show."""
        tokens = {"input_ids": sequences.input_ids, "attention_mask": sequences.attention_mask}
        labels = sequences.input_ids.masked_fill(~F.pad(sequences.mask, (1, 0)), IGNORED)
        batch = {name: tensor.cpu() for name, tensor in {**tokens, "labels": labels}.items()}
        found = {**tokens, **shown(batch, sequences.items, self.processor)}
        return {name: each.to(device) if isinstance(each, torch.Tensor) else each for name, each in found.items()}


def _log_probs(logits: Tensor, ids: Tensor, mask: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Of the tokens under the mask, from logits (B, T + 1, V): log-probabilities and entropies (B, T), else 0."""
    kept = torch.log_softmax(logits[:, :-1][mask].float() / temperature, dim=-1)  # (K, V)
    chosen = kept.gather(1, ids[:, 1:][mask][:, None]).squeeze(1)
    entropy = -(kept.exp() * kept).sum(-1)
    empty = torch.zeros(mask.shape, dtype=torch.float32, device=mask.device)
    return empty.masked_scatter(mask, chosen), empty.masked_scatter(mask, entropy)


def device_of(use_cpu: bool) -> torch.device:
    """Where to train."""
    accelerator = None if use_cpu else torch.accelerator.current_accelerator(check_available=True)
    return accelerator or torch.device("cpu")


def refuse_nothing_to_train(policy: Policy) -> None:
    """Raises: TunesmithError when the model has no trained weights."""
    if not policy.weights:
        raise TunesmithError("no weight of the model is trained.\n  choose another adapter")
