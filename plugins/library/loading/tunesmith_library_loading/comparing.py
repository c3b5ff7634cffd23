"""How long a model takes here in fp32 and in bf16: a piece of it in both, in turns, the best of several.

The time is the processor's, summed over its threads: that of the clock would tell what else the machine does.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F
from tunesmith.types import Precision
from tunesmith_library_training.batches import concatenate

from .pieces import NoPiece, Piece, add_low_rank, piece_of
from .remembered import Times
from .work import Work

_ROUNDS, _SECONDS = 4, 0.6  # of which the first warms up, and counts where there is no time for others
_LENGTHS = (104, 72, 48, 32)  # tokens of a training batch's sequences
_PROMPT, _ANSWER = 128, 64  # tokens that are read, and written one by one
_TRAINED, _ASKED = 2**23, 2**24  # products of a token in a piece
_BOTH: tuple[Precision, Precision] = ("fp32", "bf16")


def compare(work: Work) -> Times:
    """Measure. Raises: NoPiece where no piece of the model can be made, or run."""
    piece = piece_of(work.config, _ASKED if work.purpose == "answers" else _TRAINED)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            run = (
                _answering(piece)
                if work.purpose == "answers"
                else _training(piece, work.purpose == "adapter", work.sequences)
            )
            return best_of(run)
    except Exception as error:  # of whatever such a model's code, or the processor's libraries, do not do
        raise NoPiece(f"{type(error).__name__}: {' '.join(str(error).split())[:120]}") from error


def best_of(run: Callable[[Precision], float]) -> Times:
    """The shortest times of a function that gives its seconds, in each type in turns."""
    begin, threads = time.process_time(), torch.get_num_threads()
    found = {precision: run(precision) for precision in _BOTH}
    for number in range(1, _ROUNDS):
        if (time.process_time() - begin) / threads > _SECONDS:
            break
        for precision in _BOTH:
            took = run(precision)
            found[precision] = took if number == 1 else min(found[precision], took)
    return Times(found["fp32"], found["bf16"])


def _training(piece: Piece, beside: bool, sequences: int) -> Callable[[Precision], float]:
    """A forward and a backward pass, as the loop makes them, in numbers that are asked for; gives its seconds.

    Args:
        beside: the weights are frozen, and matrices of a low rank beside them are trained.
        sequences: of the batch.
    """
    decoders, heads = _in_both(piece) if beside else (dict.fromkeys(_BOTH, it) for it in (piece.decoder, piece.head))
    if beside:
        for precision in _BOTH:
            add_low_rank(decoders[precision])
            heads[precision].requires_grad_(False)
    inputs, labels = _batch(piece, sequences)

    def run(precision: Precision) -> float:
        decoder, head = decoders[precision].train(), heads[precision]
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            began = time.process_time()
            hidden = decoder(**inputs, use_cache=False).last_hidden_state
            forward = time.process_time() - began
            leaf = hidden.detach().requires_grad_()
            F.cross_entropy(head(leaf.flatten(0, 1)[: len(labels)]).float(), labels).backward()
            output = time.process_time() - began - forward
        hidden.backward(leaf.grad)
        layers = time.process_time() - began - output
        for module in (decoder, head):
            module.zero_grad()
        return layers * piece.layers + output * piece.vocabulary

    return run


def _answering(piece: Piece) -> Callable[[Precision], float]:
    """Reading a prompt and writing an answer, in numbers that are asked for; gives its seconds."""
    decoders, heads = _in_both(piece)
    prompt = torch.arange(_PROMPT)[None] % piece.head.out_features

    def run(precision: Precision) -> float:
        decoder, head = decoders[precision].eval(), heads[precision]
        found = 0.0
        with torch.no_grad():
            for tokens, times in ((prompt, 1), (prompt[:, :1], _ANSWER)):
                began = time.process_time()
                hidden = decoder(tokens, use_cache=False).last_hidden_state
                layers = time.process_time() - began
                head(hidden[:, -1])
                output = time.process_time() - began - layers
                found += times * (layers * piece.layers + output * piece.vocabulary)
        return found

    return run


def _in_both(piece: Piece) -> tuple[dict[Precision, Any], dict[Precision, Any]]:
    """The decoder and the output layer in each type."""
    decoders: dict[Precision, Any] = {"fp32": piece.decoder, "bf16": copy.deepcopy(piece.decoder).to(torch.bfloat16)}
    return decoders, {"fp32": piece.head, "bf16": copy.deepcopy(piece.head).to(torch.bfloat16)}


def _batch(piece: Piece, sequences: int) -> tuple[dict[str, Any], torch.Tensor]:
    """A batch of the piece's own kind, and the labels of the half of its tokens that is trained."""
    generator = torch.Generator().manual_seed(0)
    lengths = list(_LENGTHS[:sequences])
    tokens = torch.randint(piece.head.out_features, (sum(lengths),), generator=generator)
    labels = tokens[: len(tokens) // 2].clone()
    if not piece.concatenated:
        shorter = tokens[: len(tokens) // (2 if piece.stateful else 1)]
        return {"input_ids": shorter.view(2, -1)}, labels[: len(shorter) // 2]
    rows = [{"input_ids": ids.numpy(), "labels": ids.numpy()} for ids in tokens.split(lengths)]
    batch = concatenate(rows)
    names = ("input_ids", "position_ids", "cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k")
    return {name: batch[name] for name in names}, labels
