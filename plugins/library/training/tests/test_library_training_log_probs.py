"""Lean log-probabilities of sequences against plain ones: full logits, log_softmax, one sequence at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tunesmith_library_testing.tiny import save_tiny_model
from tunesmith_library_training.batches import collate
from tunesmith_library_training.log_probs import sequence_log_probs

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen2": {"tie_word_embeddings": True},
    "gemma2": {"query_pre_attn_scalar": 16, "final_logit_softcapping": 3.0},
    "gpt2": {"n_embd": 64, "n_layer": 2, "n_head": 4},
}
FACTORS = (0.3, -2.0, 0.7)  # by which the sequences' log-probabilities are weighed: no loss is their plain sum


def load(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")


def examples() -> list[dict[str, Any]]:
    """Three sequences of different lengths, partly trained, with weights, of which some sum to less than 1."""
    generator = torch.Generator().manual_seed(4)
    made = []
    for length, start, stop in ((12, 5, 12), (7, 0, 4), (20, 9, 15)):
        ids = torch.randint(5, 250, (length,), generator=generator).tolist()
        labels = [token if start <= at < stop else -100 for at, token in enumerate(ids)]
        weights = [(0.5 + at % 3) * (0.05 if start == 0 else 1.0) for at in range(length)]
        further = [1.5 - at % 2 for at in range(length)]
        made.append({"input_ids": ids, "labels": labels, "weights": weights, "length_weights": further})
    return made


def plain(model: Any, example: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Of the trained tokens' log-probabilities the sum by their weights, by both weights, and the sum of the former."""
    ids, labels = torch.tensor(example["input_ids"]), torch.tensor(example["labels"])[1:]
    log_probs = model(input_ids=ids[None], use_cache=False).logits[0, :-1].double().log_softmax(-1)
    trained = labels != -100
    values = log_probs[torch.arange(len(labels)), labels.clamp(min=0)][trained]
    weights, further = (
        torch.tensor(example[name], dtype=torch.float64)[1:][trained] for name in ("weights", "length_weights")
    )
    return (values * weights).sum(), (values * weights * further).sum(), float(weights.sum())


def gradients(model: Any, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


@pytest.mark.parametrize("padding_free", [True, False])
@pytest.mark.parametrize("head_is_trained", [True, False])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_equals_a_plain_forward(tmp_path: Path, architecture: str, head_is_trained: bool, padding_free: bool) -> None:
    """Values and gradients, with the gradient taken on the way (frozen head) and computed again (trained head)."""
    rows, options = examples(), ARCHITECTURES[architecture]
    model = load(save_tiny_model(tmp_path / "model", architecture=architecture, **options))
    model.get_output_embeddings().requires_grad_(head_is_trained)
    if padding_free and architecture == "gpt2":
        pytest.skip("its eager attention takes no concatenated batch")
    expected = [plain(model, row) for row in rows]
    wanted = gradients(
        model, sum(factor * weighted for factor, (_, weighted, _) in zip(FACTORS, expected, strict=True))
    )
    found = sequence_log_probs(model, collate(rows, padding_free), chunk_size=3)
    assert found.counts.tolist() == pytest.approx([count for _, _, count in expected])
    torch.testing.assert_close(found.sums, torch.stack([total for total, _, _ in expected]).float(), rtol=1e-5, atol=0)
    torch.testing.assert_close(found.means, found.sums / torch.tensor([count for _, _, count in expected]))
    got = gradients(model, (found.weighted * torch.tensor(FACTORS)).sum())
    assert got.keys() == wanted.keys()
    for name, gradient in got.items():
        torch.testing.assert_close(
            gradient, wanted[name], rtol=2e-4, atol=2e-6, msg=lambda text, name=name: name + text
        )


def test_weights_of_one_are_none(tiny_llama: Path) -> None:
    """To the last bit, and so is the number of tokens."""
    rows = [{name: row[name] for name in ("input_ids", "labels")} for row in examples()]
    ones = [
        {**row, "weights": [1.0] * len(row["labels"]), "length_weights": [1.0] * len(row["labels"])} for row in rows
    ]
    model = load(tiny_llama)
    with torch.no_grad():
        without, by_one = (sequence_log_probs(model, collate(each, True)) for each in (rows, ones))
    for name in ("sums", "weighted", "counts", "means"):
        assert torch.equal(getattr(without, name), getattr(by_one, name)), name


def test_no_graph_where_none_is_wanted(tiny_llama: Path) -> None:
    with torch.no_grad():
        found = sequence_log_probs(load(tiny_llama), collate(examples(), True))
    assert not found.sums.requires_grad and not found.weighted.requires_grad


@pytest.mark.parametrize("head_is_trained", [True, False])
def test_logits_never_exist_at_once(tiny_llama: Path, head_is_trained: bool) -> None:
    """No tensor that is kept for the backward pass is as wide as the vocabulary."""
    model = load(tiny_llama)
    model.get_output_embeddings().requires_grad_(head_is_trained)
    vocabulary, kept = model.config.vocab_size, []

    def note(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.dim() and tensor.shape[-1] == vocabulary:
            kept.append(tuple(tensor.shape))
        return tensor

    sequence_log_probs(model, collate(examples(), True), chunk_size=4)  # the first run also asks the model about itself
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        sequence_log_probs(model, collate(examples(), True), chunk_size=4)
    weight = tuple(model.get_output_embeddings().weight.t().shape)  # of the layer itself, saved to reach its input
    assert [shape for shape in kept if shape != weight and shape[0] > 4] == []
