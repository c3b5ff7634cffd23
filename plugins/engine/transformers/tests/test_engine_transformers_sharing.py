"""Scores of sequences that begin alike: each beginning is computed once, and numbers are those of the model alone."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tunesmith_engine_transformers import Transformers
from tunesmith_engine_transformers.beginnings import paths_of, tokens_of
from tunesmith_library_testing.parts import handle_of, load_plain
from tunesmith_library_testing.tiny import save_tiny_model

GENERATOR = torch.Generator().manual_seed(0)


def tokens(count: int) -> list[int]:
    return torch.randint(5, 300, (count,), generator=GENERATOR).tolist()


def questions() -> list[list[int]]:
    """Two subjects with examples, each with questions of different lengths, of which some have long choices."""
    found = []
    for examples in (tokens(150), tokens(90)):
        for length in (40, 37, 60):
            question = examples + tokens(length)
            found += [[*question, letter] for letter in (7, 8, 9)] + [question + tokens(count) for count in (4, 6, 1)]
        found.append(examples[:70])  # one that ends within what others share
    return [*found, tokens(33), [5], [6, 7], found[0]]


def expected(folder: Path, sequences: list[list[int]]) -> list[list[float]]:
    """The log-probabilities of each sequence alone, in float64, by transformers."""
    model, values = load_plain(folder, "float64"), []
    for sequence in sequences:
        with torch.no_grad():
            told = model(input_ids=torch.tensor([sequence]), use_cache=False).logits[0, :-1].log_softmax(-1)
        values.append(told.gather(1, torch.tensor(sequence[1:])[:, None].long())[:, 0].tolist())
    return values


class Counting:
    """Tokens that a model computes, padding included."""

    def __init__(self, model: Any) -> None:
        self.tokens = 0
        model.register_forward_hook(self._count, with_kwargs=True)

    def _count(self, module: Any, arguments: Any, inputs: Any, output: Any) -> None:
        self.tokens += inputs["input_ids"].numel()


@pytest.mark.parametrize(
    ("architecture", "config", "shares"),
    [
        ("llama", {}, True),
        ("qwen3", {}, True),
        ("gemma2", {"sliding_window": 400}, True),
        ("gemma2", {"sliding_window": 64}, False),  # a window is shorter than what would be known
        ("lfm2", {"layer_types": ["conv", "full_attention"]}, False),  # states cannot be cut
    ],
)
def test_scores_are_those_of_each_sequence_alone(
    architecture: str, config: dict[str, Any], shares: bool, tmp_path: Path, tiny_bpe: Any
) -> None:
    folder = save_tiny_model(tmp_path / "model", architecture=architecture, tokenizer=tiny_bpe, **config)
    sequences, model = questions(), load_plain(folder)
    counted = Counting(model)
    engine = Transformers().open_engine(handle_of(folder, tiny_bpe, load=lambda: model))
    try:
        told = engine.score(sequences, alternatives=2)
    finally:
        engine.close()
    for values, scored in zip(expected(folder, sequences), told, strict=True):
        assert [one.value for one in scored] == pytest.approx(values, abs=1e-5)
        assert all(len(one.alternatives) == 2 for one in scored)
    whole, shared = (tokens_of(paths) for paths in paths_of(sequences))
    assert shared < whole / 3
    assert (counted.tokens < whole / 2) == shares


def test_the_last_token_is_only_predicted() -> None:
    leaves, nodes = paths_of([[1, 2, 3], [1, 2, 4], [1, 2], [9]])
    assert tokens_of(leaves) == tokens_of(nodes) == 2


def test_a_chain_of_beginnings_ends() -> None:
    """Beginnings that branch at every turn make no deeper tree than the calls of a program go."""
    sequences = [[1] * count + [2] * 40 for count in range(0, 40_000, 40)]
    leaves, nodes = paths_of(sequences)
    assert 0 < tokens_of(nodes) < tokens_of(leaves)
    ends = {end.index for leaf in leaves for end in leaf.ends}
    assert ends == set(range(len(sequences)))


def test_a_model_that_does_not_go_on_from_parts_is_asked_for_whole_sequences(
    tiny_llama: Path, tiny_bpe: Any, monkeypatch: Any
) -> None:
    """One whose layers look at what came with them alone would give other numbers."""
    model = load_plain(tiny_llama)
    own = model.forward

    def forgetful(*arguments: Any, **more: Any) -> Any:
        kept = {name: value for name, value in more.items() if "cache" not in name and name != "past_key_values"}
        return own(*arguments, **{**kept, "attention_mask": None, "use_cache": False})

    sequences = questions()
    values = expected(tiny_llama, sequences)
    monkeypatch.setattr(model, "forward", forgetful)
    engine = Transformers().open_engine(handle_of(tiny_llama, tiny_bpe, load=lambda: model))
    try:
        told = engine.score(sequences)
    finally:
        engine.close()
    for expected_values, scored in zip(values, told, strict=True):
        assert [one.value for one in scored] == pytest.approx(expected_values, abs=1e-5)
