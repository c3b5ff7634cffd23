"""The loss of each of several training sets against losses that are computed apart, in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tunesmith.types import NOT_FOR_MODEL, model_inputs
from tunesmith_library_testing.parts import load_plain
from tunesmith_library_training.batches import collate
from tunesmith_library_training.token_loss import fused, token_loss

NAMES = ("tides", "whales", "tides", "boats", "whales")


def examples(weighted: bool = False, packed: bool = False) -> list[dict[str, Any]]:
    """Five sequences of three data sets, or with `packed` two sequences in each example."""
    generator = torch.Generator().manual_seed(4)
    made = []
    for number, name in enumerate(NAMES):
        sequences = []
        for length in (5 + 3 * number, 4 + number)[: 1 + packed]:
            ids = torch.randint(5, 250, (length,), generator=generator).tolist()
            sequence = {"input_ids": ids, "labels": [-100, -100, *ids[2:]]}
            sequences.append({**sequence, "weights": [0.5 + at % 3 for at in range(length)]} if weighted else sequence)
        if packed:
            packed_row = {column: [*sequences[0][column], *sequences[1][column]] for column in sequences[0]}
            sequences = [{**packed_row, "sequence_lengths": [len(sequence["input_ids"]) for sequence in sequences]}]
        made.append({**sequences[0], "dataset": name})
    return made


def token_losses(model: Any, example: dict[str, Any], function: Any) -> tuple[float, float]:
    """The weighted sum over one example's trained tokens, in float64, and the sum of the weights."""
    total = count = start = 0.0
    for length in example.get("sequence_lengths", [len(example["input_ids"])]):
        part = slice(int(start), int(start) + length)
        start += length
        ids = torch.tensor(example["input_ids"][part])
        weights = torch.tensor(example.get("weights", [1.0] * len(example["input_ids"]))[part]).double()[1:]
        weights = weights * (torch.tensor(example["labels"][part])[1:] != -100)
        log_probs = model(input_ids=ids[None], use_cache=False).logits[0, :-1].log_softmax(-1)
        total += float((function(log_probs, ids[1:]) * weights).sum())
        count += float(weights.sum())
    return total, count


def cross_entropy(log_probs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return -log_probs.gather(1, labels[:, None])[:, 0]


def dynamic(log_probs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    losses = cross_entropy(log_probs, labels)
    return losses * (-losses).exp()


@torch.no_grad()
def expected_of(folder: Path, rows: list[dict[str, Any]], function: Any = cross_entropy) -> dict[str, list[float]]:
    model = load_plain(folder).double().eval()
    found = {name: [0.0, 0.0] for name in NAMES}
    for row in rows:
        for place, value in enumerate(token_losses(model, row, function)):
            found[row["dataset"]][place] += value
    return found


@pytest.mark.parametrize("padding_free", [True, False])
@pytest.mark.parametrize(("weighted", "packed"), [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("chunk_size", [3, 0])
def test_equals_losses_computed_apart(
    tiny_llama: Path, weighted: bool, packed: bool, padding_free: bool, chunk_size: int
) -> None:
    rows = examples(weighted, packed)
    output = token_loss(load_plain(tiny_llama), collate(rows, padding_free), chunk_size=chunk_size)
    for name, (total, count) in expected_of(tiny_llama, rows).items():
        found = output.metrics[f"loss_{name}"]
        assert not found.requires_grad and found.tolist() == pytest.approx([total, count], rel=1e-5)
    sums = torch.stack([output.metrics[f"loss_{name}"] for name in set(NAMES)]).sum(dim=0)
    assert sums.tolist() == pytest.approx([output.loss.item(), output.num_items], rel=1e-5)


def test_the_loss_itself_is_the_same(tiny_llama: Path) -> None:
    """Names change neither the loss nor its gradients, and no key of theirs reaches the model."""
    results = []
    for rows in (examples(), [{k: v for k, v in row.items() if k != "dataset"} for row in examples()]):
        model = load_plain(tiny_llama)
        batch = collate(rows, True)
        assert not model_inputs(batch).keys() & NOT_FOR_MODEL
        output = token_loss(model, batch)
        output.loss.backward()
        results.append((output, [weight.grad for weight in model.parameters()]))
    torch.testing.assert_close(results[0][0].loss, results[1][0].loss, rtol=0, atol=0)
    torch.testing.assert_close(results[0][1], results[1][1], rtol=0, atol=0)
    assert set(results[1][0].metrics) == {"accuracy"}


def test_losses_of_their_own(tiny_llama: Path) -> None:
    """Another function of the logits is told apart in the same way, here the one of loss=dft."""
    rows = examples()
    output = token_loss(
        load_plain(tiny_llama), collate(rows, True), lambda logits, labels: dynamic(logits.log_softmax(-1), labels)
    )
    for name, pair in expected_of(tiny_llama, rows, dynamic).items():
        assert output.metrics[f"loss_{name}"].tolist() == pytest.approx(pair, rel=1e-4)


def test_a_kernel_gives_the_whole_loss_alone(tiny_llama: Path) -> None:
    """What a kernel sums up cannot be told apart afterwards, and no wrong number is logged for it."""

    def kernel(hidden: Any, weight: Any, bias: Any, labels: Any, weights: Any, softcap: Any) -> Any:
        logits = hidden @ weight.T
        return torch.nn.functional.cross_entropy(logits, labels, reduction="sum"), logits.argmax(-1)

    batch = collate(examples(), True)
    model = load_plain(tiny_llama)
    plain = token_loss(model, batch)
    with fused(kernel):
        output = token_loss(model, batch)
    assert output.loss.item() == pytest.approx(plain.loss.item(), rel=1e-5)
    assert set(output.metrics) == {"accuracy"} and "loss_tides" in plain.metrics
