"""The model with its value head: the log-probabilities, entropies and values of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from tunesmith import TunesmithError

Tensor = torch.Tensor


class Sequences(NamedTuple):
    """Prompts with their answers, padded on the right."""

    input_ids: Tensor  # int64 (B, T + 1)
    attention_mask: Tensor  # int64 (B, T + 1)
    mask: Tensor  # bool (B, T): position t predicts a token of the answer at t + 1

    def rows(self, start: int, stop: int) -> Sequences:
        """Some of them."""
        return Sequences(*(tensor[start:stop] for tensor in self))


class Policy:
    """A causal language model and a linear value head on its last hidden state."""

    def __init__(self, model: Any, temperature: float, precision: str) -> None:
        self.model, self.temperature, self.precision = model, temperature, precision
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

    def sequences(self, prompts: Sequence[list[int]], answers: Sequence[list[int]]) -> Sequences:
        """Prompts with their answers as tensors on the model's device."""
        whole = [prompt + answer for prompt, answer in zip(prompts, answers, strict=True)]
        width = max(map(len, whole))
        ids = torch.tensor([row + [0] * (width - len(row)) for row in whole])
        filled = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in whole])
        starts = torch.tensor([len(prompt) for prompt in prompts])
        mask = (torch.arange(1, width) >= starts[:, None]) & filled[:, 1:].bool()
        return Sequences(*(tensor.to(self.model.device) for tensor in (ids, filled, mask)))

    def evaluate(self, sequences: Sequences) -> tuple[Tensor, Tensor, Tensor]:
        """Log-probabilities of the answers' tokens, entropies and values before each of them: (B, T) fp32, else 0."""
        ids, filled, mask = sequences
        with self.autocast():
            output = self.model(input_ids=ids, attention_mask=filled, output_hidden_states=True, use_cache=False)
        log_probs, entropies = _log_probs(output.logits, ids, mask, self.temperature)
        values = self.head(output.hidden_states[-1][:, :-1].float()).squeeze(-1).masked_fill(~mask, 0.0)
        return log_probs, entropies, values

    def reference_log_probs(self, reference: Any, sequences: Sequences) -> Tensor:
        """Log-probabilities of the answers' tokens by the reference: (B, T) fp32, without gradients."""
        ids, filled, mask = sequences
        with reference.instead_of(self.model) as model, self.autocast():
            device = model.device
            logits = model(input_ids=ids.to(device), attention_mask=filled.to(device), use_cache=False).logits
        return _log_probs(logits.to(ids.device), ids, mask, self.temperature)[0]


def _log_probs(logits: Tensor, ids: Tensor, mask: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Of the tokens under the mask, from logits (B, T + 1, V): log-probabilities and entropies (B, T), else 0."""
    kept = torch.log_softmax(logits[:, :-1][mask].float() / temperature, dim=-1)  # (K, V)
    chosen = kept.gather(1, ids[:, 1:][mask][:, None]).squeeze(1)
    entropy = -(kept.exp() * kept).sum(-1)
    empty = torch.zeros(mask.shape, dtype=torch.float32, device=mask.device)
    return empty.masked_scatter(mask, chosen), empty.masked_scatter(mask, entropy)


def device_of(use_cpu: bool) -> torch.device:
    """Where to train."""
    accelerator = None if use_cpu else torch.accelerator.current_accelerator()
    return accelerator or torch.device("cpu")


def refuse_nothing_to_train(policy: Policy) -> None:
    """Raises: TunesmithError when the model has no trained weights."""
    if not policy.weights:
        raise TunesmithError("no weight of the model is trained.\n  choose another adapter")
