"""What the model says of texts that are there already: how likely their tokens are, and vectors of them.

Both are done in parts, between which the engine's thread goes on with answers.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import Any

import torch
from tunesmith.types import LogProb

from .beginnings import Node, paths_of, tokens_of
from .choosing import log_probs_of
from .forwarding import Forward
from .growing import grown

_SCORES = 2**26  # numbers of a batch's scores that are computed at a time: 256 MB in fp32
_TOKENS, _TOKENS_ON_CPU = 16_384, 2_048  # of a part, unless one sequence has more
_WORTH = 4  # beginnings are shared where that saves one token in so many, for what is known has to be copied

Told = tuple[LogProb, ...]


def score(
    model: Any, forward: Forward | None, sequences: Sequence[Sequence[int]], alternatives: int
) -> Generator[None, None, list[Told]]:
    """The log-probabilities of each sequence's tokens behind its first.

    Args:
        forward: of the same model; None where it cannot go on from keys and values that are known.
    """
    found: list[Told] = [()] * len(sequences)
    most = _SCORES // int(model.config.get_text_config().vocab_size)
    before: dict[int, Told] = {}  # by the id of a node that waits: of the tokens up to its first
    for batch in _computed(model, forward, sequences, most):
        for node, logits in batch:
            _tell(node, logits.float().log_softmax(-1), before, found, alternatives)
        yield
    return found


def _computed(
    model: Any, forward: Forward | None, sequences: Sequence[Sequence[int]], most: int
) -> Iterator[list[tuple[Node, Any]]]:
    """The nodes of a tree of the sequences, each with (count, V), the scores behind each of its own tokens."""
    leaves, nodes = paths_of(sequences)
    whole, longest = tokens_of(leaves), max((leaf.stop for leaf in leaves), default=0)
    if forward and whole - tokens_of(nodes) >= whole / _WORTH and forward.goes_on(longest):
        yield from grown(forward, nodes, _most(model, most))
        return
    for members, ids, mask in _batches(model, [leaf.path for leaf in leaves], most):
        with torch.no_grad():
            logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        yield [(leaves[place], logits[row, : leaves[place].stop]) for row, place in enumerate(members)]


def _tell(node: Node, log_probs: Any, before: dict[int, Told], found: list[Told], alternatives: int) -> None:
    """Tell the sequences that end in a node, and the children what comes before them.

    Args:
        log_probs: fp32 (count, V), of all tokens behind each of the node's own.
        before: see `score`; the node's own is taken out.
        found: by sequence.
    """
    own = log_probs_of(log_probs[:-1], node.path[node.start + 1 : node.stop], [alternatives] * (node.count - 1))
    known = (*before.pop(id(node), ()), *own)
    places = [end.length - 1 - node.start for end in node.ends] + [node.count - 1] * len(node.children)
    tokens = [end.token for end in node.ends] + [child.path[node.stop] for child in node.children]
    last = log_probs_of(log_probs[places], tokens, [alternatives] * len(places))
    for end, one in zip(node.ends, last, strict=False):
        found[end.index] = (*known[: end.length - 1], one)
    for child, one in zip(node.children, last[len(node.ends) :], strict=True):
        before[id(child)] = (*known, one)


def embed(model: Any, sequences: Sequence[Sequence[int]]) -> Generator[None, None, list[list[float]]]:
    """The mean over each sequence's tokens of the model's last hidden states."""
    found: list[list[float]] = [[]] * len(sequences)
    for members, ids, mask in _batches(model, sequences, _TOKENS):
        inputs = {"input_ids": ids, "attention_mask": mask}
        with torch.no_grad():
            output = model(**inputs, use_cache=False, output_hidden_states=True, logits_to_keep=1)
        hidden = output.hidden_states[-1].float()  # (B, T, H)
        means = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        for row, index in enumerate(members):
            found[index] = means[row].tolist()
        yield
    return found


def _batches(model: Any, sequences: Sequence[Sequence[int]], most: int) -> Iterator[tuple[list[int], Any, Any]]:
    """Batches of similar length, padded on the right, where tokens before do not see it.

    Args:
        most: tokens of a batch, unless one sequence has more.

    Returns: the places of the sequences; `input_ids` and `attention_mask`, both int64 (B, T).
    """
    most = _most(model, most)
    order = sorted(range(len(sequences)), key=lambda index: len(sequences[index]))
    while order:
        members = [order.pop()]
        width = len(sequences[members[0]])
        while order and (len(members) + 1) * width <= most and 4 * len(sequences[order[-1]]) >= 3 * width - 16:
            members.append(order.pop())
        ids = [[*sequences[index], *([0] * (width - len(sequences[index])))] for index in members]
        mask = [[1] * len(sequences[index]) + [0] * (width - len(sequences[index])) for index in members]
        yield members, torch.tensor(ids, device=model.device), torch.tensor(mask, device=model.device)


def _most(model: Any, most: int) -> int:
    return min(most, _TOKENS_ON_CPU if model.device.type == "cpu" else _TOKENS)
