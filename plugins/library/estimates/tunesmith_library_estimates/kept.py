"""What one layer keeps of a token for the backward pass, block by block: what transformers' layers make PyTorch save.

With E the bytes of a number that is computed (2 under autocast, else 4), a layer keeps of a token: each norm's input in
float32, and where the norm learns what its weight is multiplied with; E times queries, keys, values and the result of
attention, which is a matrix of tokens by tokens only where it is written out; E times the gate, its activation, the
other branch and their product; and the inputs of linear layers that learn, or beside which something learns. Where the
stream between layers is wider than that, autocast makes a copy of such an input for each of the layers.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tunesmith_library_estimates.estimation import Estimate, Weight
from tunesmith_library_estimates.scores import Scores

_WRITE = frozenset(  # what writes back to the stream: what it gives is added there, and not kept
    {"o_proj", "out_proj", "dense", "c_proj", "wo", "proj", "down_proj", "fc2", "dense_4h_to_h", "w2", "output_linear"}
)
_QUERIES = frozenset({"q_proj", "q_b_proj", "qkv_proj", "query_key_value", "c_attn", "Wqkv", "qkv"})
_GATES = frozenset({"gate_proj", "gate_up_proj", "w1", "input_linear"})
_ENLARGE = frozenset({"fc1", "c_fc", "dense_h_to_4h", "up_proj"})
_KEEP_STATE = frozenset({"conv1d", "conv"})
_CHUNK = 64  # tokens of a gated delta net
_EXPERT = re.compile(r"experts\.\d+")


@dataclass(frozen=True)
class Numbers:
    """How wide numbers are, in bytes, and how the model is run."""

    computed: int  # what is multiplied
    stream: int  # what goes from layer to layer
    experts_per_token: int
    on_cpu: bool
    several: bool  # sequences in a batch, one after the other
    filled_up: float  # to whole chunks: tokens for each one of the longest sequence
    scores: Scores  # of a layer's attention

    @staticmethod
    def of(estimate: Estimate) -> Numbers:
        """Those of a run: the stream is as wide as the embeddings."""
        widest = max((weight.bits for weight in estimate.weights if weight.kind == "embedding"), default=16)
        return Numbers(
            4 if estimate.precision == "fp32" else 2,
            int(max(widest // 8, 2)),
            estimate.experts_per_token,
            estimate.machine.device == "cpu",
            estimate.sequences * estimate.per_example > 1 or estimate.merged > 0,
            _CHUNK * -(-estimate.length // _CHUNK) / estimate.length if estimate.length else 1.0,
            estimate.scores,
        )


@dataclass(frozen=True)
class Kept:
    """Of one layer, bytes for each token."""

    bytes: float = 0.0  # from its forward pass to its backward pass
    width: float = 0.0  # numbers of the widest tensor: gradients of two of them are there at once
    pairs: float = 0.0  # bytes for each pair of tokens
    unknown: tuple[str, ...] = ()  # blocks whose form is not known, with at most what the bytes say

    def __add__(self, other: Kept) -> Kept:
        width, pairs = max(self.width, other.width), self.pairs + other.pairs
        return Kept(self.bytes + other.bytes, width, pairs, self.unknown + other.unknown)


def kept_by(weights: Mapping[str, Weight], hidden: int, numbers: Numbers) -> Kept:
    """What a layer keeps of a token.

    Args:
        weights: of the layer, by their names within it.
        hidden: width of the stream.
    """
    blocks: dict[str, dict[str, Weight]] = defaultdict(dict)
    for name, weight in weights.items():
        if weight.kind in ("linear", "experts") or _is_convolution(name):
            block, _, leaf = name.removesuffix(".weight").rpartition(".")
            blocks[block][leaf] = weight
    single = {_EXPERT.sub("experts.0", block): block for block in reversed(blocks) if _EXPERT.search(block)}
    learning = {name.removesuffix(".weight") for name, weight in weights.items() if weight.trained}
    learning |= {name[: name.index(mark)] for name in learning for mark in (".lora_", ".oft_") if mark in name}
    total = Kept(of_norms(weights, hidden, numbers))
    for block, leaves in blocks.items():
        learns = {leaf for leaf in leaves if f"{block}.{leaf}".lstrip(".") in learning}
        if not _EXPERT.search(block):
            total += _of_block(block, leaves, learns, hidden, numbers)
        elif block in single.values():  # of experts that are modules each, as many as a token meets
            one = _of_block(block, leaves, learns, hidden, numbers)
            total += Kept(numbers.experts_per_token * one.bytes, numbers.experts_per_token * one.width)
    beside = [weight for weight in weights.values() if weight.trained and weight.kind == "other" and is_thin(weight)]
    return total + Kept(numbers.computed * sum(min(weight.shape) for weight in beside) / 2)  # between A and B


def is_thin(weight: Weight) -> bool:
    """Whether it is a matrix of an adapter's, beside a layer."""
    return len(weight.shape) == 2 and (".lora_" in weight.name or weight.name.endswith((".lora_A", ".lora_B")))


def of_norms(weights: Mapping[str, Weight], hidden: int, numbers: Numbers) -> float:
    """Bytes that the norms among some weights keep of a token.

    One that has a bias is torch's own LayerNorm, which keeps its input alone.
    """
    total = 0.0
    wide = any("post_feedforward_layernorm" in name for name in weights)  # Gemma's and OLMo's multiply in float32
    for name, weight in weights.items():
        if weight.kind != "norm" or name.endswith("bias"):
            continue
        width = _normalised(name, weight, weights)
        of_stream = weight.shape[-1] == hidden and width == hidden
        own = 4 if wide else numbers.stream if of_stream else numbers.computed
        if f"{name.removesuffix('weight')}bias" in weights:
            total += width * own
        else:
            total += width * (4 + (own if weight.trained else 0)) + 4 * width / weight.shape[-1]
    return total


def _normalised(name: str, weight: Weight, weights: Mapping[str, Weight]) -> int:
    """Numbers of a token that a norm is put on: of one of a head's width, all heads."""
    block, _, leaf = name.removesuffix(".weight").rpartition(".")
    of = {"q": "q_proj", "k": "k_proj", "query": "q_proj", "key": "k_proj"}.get(leaf.partition("_")[0])
    beside = weights.get(f"{block}.{of}.weight")
    if beside is None and leaf == "norm" and "out_proj" in {part for each in weights for part in each.split(".")}:
        beside = weights.get(f"{block}.out_proj.weight")
        return weight.shape[-1] if beside is None else beside.shape[1]
    size = weight.shape[-1] if len(weight.shape) == 1 else weight.count
    return size if beside is None else beside.shape[0]


def _is_convolution(name: str) -> bool:
    return name.removesuffix(".weight").rpartition(".")[2] in _KEEP_STATE and not name.endswith("bias")


def _of_block(block: str, leaves: Mapping[str, Weight], learns: set[str], hidden: int, numbers: Numbers) -> Kept:
    """What the linear layers of one module keep, with what stands between them."""
    names = leaves.keys()
    inputs = _inputs(leaves, learns, numbers)
    if names & _KEEP_STATE:
        return _of_state(block, leaves, learns, inputs, numbers)
    if any(weight.kind == "experts" for weight in leaves.values()):
        return _of_experts(leaves, hidden, numbers)
    if names & _QUERIES:
        kept = numbers.computed * _of_attention(leaves, learns, numbers)
        return Kept(kept + inputs, pairs=numbers.scores.kept)
    if names & (_GATES | _ENLARGE):
        width = sum(weight.shape[0] for name, weight in leaves.items() if name not in _WRITE)
        gated = bool(names & _GATES) and len(names) > 1
        inner = width / 2 if gated else width
        kept = numbers.computed * (width + inner + (inner if gated and learns & _WRITE else 0.0))
        if not gated and not learns & _WRITE:
            kept -= numbers.computed * inner
        return Kept(kept + inputs, inner)
    if len(names) == 1:  # a router, or the gate of an expert that all tokens meet
        return Kept(numbers.computed * next(iter(leaves.values())).shape[0] + inputs)
    most = 2 * numbers.computed * sum(sum(weight.shape[-2:]) for weight in leaves.values())
    return Kept(most, unknown=(block or "its layers",))


def _inputs(leaves: Mapping[str, Weight], learns: Iterable[str], numbers: Numbers) -> float:
    """Bytes of what goes into layers that learn, once for all that read the same, apart from copies by autocast."""
    read: dict[int, int] = {}
    written = 0
    for name in learns:
        width = leaves[name].shape[-1]
        if name in _WRITE:
            continue  # what comes from within the block is kept there
        if numbers.computed < numbers.stream:
            written += width
        else:
            read[width] = width
    return numbers.computed * float(written + sum(read.values()))


def _of_attention(leaves: Mapping[str, Weight], learns: set[str], numbers: Numbers) -> float:
    """Numbers of queries, keys, values and the result."""
    rows = sum(weight.shape[0] for name, weight in leaves.items() if name not in _WRITE)
    output = next((weight.shape[1] for name, weight in leaves.items() if name in _WRITE), 0)
    if numbers.scores and "k_proj" in leaves:  # keys and values are there for each head
        rows = 3 * leaves["q_proj"].shape[0]
    # sequences that are computed one after the other are put together again for the layer that reads them
    again = output if numbers.on_cpu and numbers.several and learns & _WRITE else 0
    if "kv_b_proj" in leaves:  # latent attention: its keys are put together head by head, its values are a part
        queries = leaves.get("q_b_proj", leaves.get("q_proj"))
        of_heads = 0 if queries is None else queries.shape[0]
        return 2.0 * of_heads + leaves["kv_b_proj"].shape[0] + output + again
    split = "q_proj" not in leaves  # out of one matrix: values stay a part of it, rotated queries and keys are new
    return float(rows + output + again + (output + (rows - output) / 2 if split else 0))


def _of_experts(leaves: Mapping[str, Weight], hidden: int, numbers: Numbers) -> Kept:
    """What fused experts keep for those that a token meets: their inputs, one for each, both branches and products."""
    down = leaves.get("down_proj")
    if down is None:
        most = max(sum(weight.shape[1:]) for weight in leaves.values())
        return Kept(2.0 * numbers.computed * numbers.experts_per_token * most, unknown=("experts",))
    width = down.shape[1] if down.shape[2] == hidden else down.shape[2]  # (…, out, in), or (…, in, out)
    own = 4 if down.bits == 32 else numbers.computed  # autocast does not reach them
    kept = own * numbers.experts_per_token * (4.0 * width + 2.0 * hidden)
    to_router = numbers.computed * hidden
    return Kept(kept + to_router, numbers.experts_per_token * width)


def _of_state(block: str, leaves: Mapping[str, Weight], learns: set[str], inputs: float, numbers: Numbers) -> Kept:
    """What a layer keeps that has a state: short convolutions, and linear attention in plain PyTorch, else a bound."""
    matrices = {name: weight for name, weight in leaves.items() if name not in _KEEP_STATE}
    rows = sum(weight.shape[0] for name, weight in matrices.items() if name not in _WRITE)
    output = next((weight.shape[1] for name, weight in matrices.items() if name in _WRITE), 0)
    if set(matrices) == {"in_proj", "out_proj"} and rows == 3 * output:  # a gated short convolution
        return Kept(numbers.computed * (rows + 3.0 * output) + inputs)
    if "in_proj_qkvz" in matrices or "in_proj_qkv" in matrices:
        heads = matrices["in_proj_ba"].shape[0] / 2 if "in_proj_ba" in matrices else matrices["in_proj_b"].shape[0]
        through = 2.0 * (rows - output) + output * (2 if learns & _WRITE else 1)  # convolution, gate, what is written
        keys = (rows - 2 * output - 2 * heads) / 2
        return Kept(numbers.computed * through + _of_delta_net(heads, output, keys == output, numbers) + inputs)
    most = 4.0 * numbers.computed * (rows + 2.0 * output) + inputs
    return Kept(most, unknown=(f"{block.rpartition('.')[2]}, whose states are more in plain PyTorch",))


def _of_delta_net(heads: float, output: int, every: bool, numbers: Numbers) -> float:
    """Bytes that a gated delta net keeps of a token: in float32, by chunks that are filled up, each with a state.

    Counted in what PyTorch saves with transformers 5.23, for heads whose keys are as wide as their values.

    Args:
        every: whether each head of values has keys of its own.
    """
    width = output / heads
    state = width * width / _CHUNK
    if numbers.computed < 4:  # numbers of one head
        of_head = 3.5 * _CHUNK + (15.0 if numbers.computed < numbers.stream else 14.5) * width + 2 * state
    else:
        copied = 4 if numbers.filled_up == 1 else 0  # queries and keys, which filling up would have copied
        of_head = 5.0 * _CHUNK + ((17 if every else 13) + copied) * width + state
    return 4.0 * numbers.filled_up * heads * (of_head + 8)
