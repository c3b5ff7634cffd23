"""Processes that share batches find the losses and gradients that one of them would find alone."""

from __future__ import annotations

import copy
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from tunesmith.types import Batch
from tunesmith_library_sequence import attending, ring
from tunesmith_library_sequence.blocks import Rules
from tunesmith_library_sequence.dividing import Divider
from tunesmith_library_sequence.exchanging import Sharers
from tunesmith_library_sequence.pieces import contiguous, zigzag
from tunesmith_library_training import attention, head, on_host, parts, processes, watching
from tunesmith_library_training.batches import collate
from tunesmith_library_training.log_probs import sequence_log_probs
from tunesmith_library_training.routing import choose_balance
from tunesmith_library_training.token_loss import token_loss

COUNT = 4
LENGTHS = [[5, 1, 9], [8], [33, 2, 17]]  # with a token for each of four processes, as batches are made to have
MODELS: dict[str, dict[str, Any]] = {
    "llama": {"num_key_value_heads": 1},
    "qwen2_dynamic": {"rope_parameters": {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10000.0}},
    "gemma2": {
        "sliding_window": 6,
        "attn_logit_softcapping": 3.0,
        "layer_types": ["sliding_attention", "full_attention"],
    },
    "gpt_oss": {
        **{"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 6, "rope_parameters": None},
        "layer_types": ["sliding_attention", "full_attention"],
    },
}


@pytest.mark.slow
def test_shared_batches_give_what_whole_ones_give(tmp_path: Path) -> None:
    environment = {**os.environ, "WORLD_SIZE": str(COUNT), "MASTER_ADDR": "127.0.0.1", "OMP_NUM_THREADS": "1"}
    environment["MASTER_PORT"] = str(29_500 + os.getpid() % 2_000)
    workers = [
        subprocess.Popen([sys.executable, __file__, str(tmp_path)], env={**environment, "RANK": str(rank)})
        for rank in range(COUNT)
    ]
    try:
        assert [worker.wait(timeout=300) for worker in workers] == [0] * COUNT
    finally:
        for worker in workers:
            worker.kill()
    told = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(COUNT)]
    assert told[0], "nothing was compared"
    wrong = {
        f"{name} on {rank}": error for rank, some in enumerate(told) for name, error in some.items() if error > 1e-5
    }
    assert not wrong


# ---- the program of each process -------------------------------------------------------------------------------------


def main(folder: Path) -> None:
    processes.join(use_cpu=True)
    rank = processes.rank()
    pairs = [dist.new_group([first, first + 1]) for first in (0, 2)]
    three = dist.new_group([0, 1, 2])
    groups = [Sharers(pairs[rank // 2], 2, rank % 2), Sharers(dist.group.WORLD, COUNT, rank)]
    found = dict(_of_attention([*groups, Sharers(three, 3, rank)] if rank < 3 else groups))
    for architecture, config in MODELS.items():
        model = _model(architecture.partition("_")[0] if "oss" not in architecture else architecture, config)
        for sharers, method in itertools.product(groups, ("ulysses", "ring")):
            for name, error in _of_model(model, Divider(method, sharers)):  # type: ignore[arg-type]
                found[f"{architecture} {method} {sharers.size} {name}"] = error
    (folder / f"{rank}.json").write_text(json.dumps(found))


def _of_attention(groups: list[Sharers]) -> Iterator[tuple[str, float]]:
    """How far attention and its gradients are from those of a mask over the whole row, in float64."""
    from test_library_sequence_blocks import RULES, drawn

    for sharers, lengths, (rules, has_sinks) in itertools.product(groups, LENGTHS, RULES):
        case = f"{sharers.size} {lengths} {rules} {has_sinks}"
        query, key, value, drain = drawn(sum(lengths))
        sinks = drain.requires_grad_() if has_sinks else None
        tensors = [tensor.requires_grad_() for tensor in (query, key, value)]
        division = zigzag(lengths, sharers.size)
        own = division.places(sharers.rank)
        output = ring.attend(*(tensor[:, own] for tensor in tensors), sinks, division, sharers, rules)
        yield f"ring {case}", _error(tensors, sinks, own, output, (sharers, lengths, rules))
        if sharers.size == 3:
            continue
        division = contiguous(lengths, sharers.size)
        own = division.places(sharers.rank)
        rows = [tensor[None, :, own] for tensor in tensors]
        output = _by_heads(rows, sinks, division, sharers, rules, lengths)
        yield f"ulysses {case}", _error(tensors, sinks, own, output, (sharers, lengths, rules))


def _error(
    tensors: list[torch.Tensor], sinks: torch.Tensor | None, own: torch.Tensor, output: torch.Tensor, case: Any
) -> float:
    """The largest one of an output of some tokens, and of the gradients that all processes give together."""
    from test_library_sequence_blocks import written_out

    sharers, lengths, rules = case
    wanted = tensors if sinks is None else [*tensors, sinks]
    query, key, value = tensors
    expected = written_out(query, key, value, lengths, rules, sinks)
    outer = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    errors = [_apart(output, expected[:, own])]
    given = torch.autograd.grad(output, wanted, outer[:, own], allow_unused=True, materialize_grads=True)
    for mine, whole in zip(given, torch.autograd.grad(expected, wanted, outer), strict=True):
        summed = mine.clone()
        dist.all_reduce(summed, group=sharers.group)
        errors.append(_apart(summed, whole))
    return max(errors)


def _by_heads(rows: Any, sinks: Any, division: Any, sharers: Sharers, rules: Rules, lengths: list[int]) -> torch.Tensor:
    bounds = torch.tensor([0, *itertools.accumulate(lengths)], dtype=torch.int32)
    given = None if rules.window is None else attending.mask(rules.window, special=False)
    asked: dict[str, Any] = {"softcap": rules.softcap, "s_aux": sinks, "sliding_window": rules.window, "dropout": 0.0}
    module = torch.nn.Identity()
    asked |= {"bounds": bounds, "scaling": rules.scaling}
    return attending.by_heads(module, *rows, given, division, sharers, **asked)[0].transpose(0, 1)


def _model(architecture: str, config: dict[str, Any]) -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM

    attention.register()
    settings = {
        **{"vocab_size": 96, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "head_dim": 8},
        **{"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 16, "pad_token_id": 0},
        **config,
    }
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(
        AutoConfig.for_model(architecture, **settings), attn_implementation=attention.NAME
    )
    watching.watch(model)
    choose_balance(model, "auto", 0.1)
    return model.train()


def _of_model(model: Any, divider: Divider) -> Iterator[tuple[str, float]]:
    """How far losses, metrics and gradients of parts are from those of the whole batch."""
    divided = copy.deepcopy(model)
    parts.divide(divided, divider)
    for lengths, padding_free in ((LENGTHS[2], True), (LENGTHS[2], False), ([3], True)):
        for name, loss_of in {"tokens": _tokens, "pairs": _pairs}.items():
            batch = _batch(lengths, padding_free)
            expected, wanted = _run(model, batch, loss_of)
            given, found = _run(divided, batch, loss_of)
            with torch.no_grad():
                measured, _ = loss_of(divided, batch)
            for gradient in found:
                dist.all_reduce(gradient, group=divider.sharers.group)
            highest = max(float(gradient.abs().max()) for gradient in wanted)
            errors = [_apart(a, b) for a, b in zip(given, expected, strict=True)]
            errors += [float((a - b).abs().max()) / highest for a, b in zip(found, wanted, strict=True)]
            yield f"{name} {lengths} {padding_free}", max(*errors, _apart(measured, expected[0]))


def _batch(lengths: list[int], padding_free: bool) -> Batch:
    generator = torch.Generator().manual_seed(0)
    examples = []
    for length in lengths:
        ids = torch.randint(1, 96, (length,), generator=generator).tolist()
        examples.append(
            {"input_ids": ids, "labels": [-100] * (length // 3) + ids[length // 3 :], "dataset": str(length)}
        )
    batch = collate(examples, padding_free)
    on_host.note(batch)
    on_host.attach(batch)
    return batch


def _tokens(model: Any, batch: Batch) -> tuple[torch.Tensor, list[torch.Tensor]]:
    output = token_loss(model, batch)
    return torch.as_tensor(output.loss), [torch.as_tensor(output.metrics[name]) for name in sorted(output.metrics)]


def _pairs(model: Any, batch: Batch) -> tuple[torch.Tensor, list[torch.Tensor]]:
    found = sequence_log_probs(model, batch)
    loss = torch.nn.functional.softplus(found.sums.diff().sum() + found.means.sum()) + found.routing_loss
    return loss, [found.sums.detach(), found.counts]


def _run(
    model: Any, batch: Batch, loss_of: Callable[..., tuple[torch.Tensor, list[torch.Tensor]]]
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """A loss and its metrics, and the gradients of the weights."""
    weights = [weight for weight in head.unwrap(model).parameters() if weight.requires_grad]
    loss, metrics = loss_of(model, batch)
    gradients = torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)
    return [loss.detach(), *metrics], [gradient.clone() for gradient in gradients]


def _apart(found: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest difference, of the largest number."""
    if found.shape != expected.shape:
        return float("inf")
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-12))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main(Path(sys.argv[1]))
