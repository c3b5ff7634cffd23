"""A model whose weights are spread over processes is written as one that a process has whole."""

from __future__ import annotations

import filecmp
from pathlib import Path

import pytest
import torch
from tunesmith_library_publishing import whole
from tunesmith_library_publishing.configs import class_name
from tunesmith_library_testing.parts import load_plain


@pytest.mark.parametrize("architecture", ["qwen3_moe", "gpt_oss"])
def test_the_files_are_the_same(tiny_mixtures: dict[str, Path], tmp_path: Path, architecture: str) -> None:
    from torch import distributed
    from torch.distributed.fsdp import fully_shard
    from torch.testing._internal.distributed.fake_pg import FakeStore
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    base = tiny_mixtures[architecture]
    model, processor = load_plain(base), AutoTokenizer.from_pretrained(base)
    spread, classifier = load_plain(base), AutoModelForSequenceClassification.from_pretrained(base)
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    expected = class_name(classifier, base)
    distributed.init_process_group("fake", rank=0, world_size=2, store=FakeStore())
    try:
        fully_shard(spread)
        fully_shard(classifier)
        assert whole.base_of(spread) == base
        for name, each, given in (("one", model, None), ("two", spread, weights)):
            (tmp_path / name).mkdir()
            whole.save_whole(each, processor, None, base, tmp_path / name, weights=given)
        assert class_name(classifier, base) == expected
    finally:
        distributed.destroy_process_group()
    names = sorted(file.name for file in (tmp_path / "one").iterdir())
    assert filecmp.cmpfiles(tmp_path / "one", tmp_path / "two", names, shallow=False) == (names, [], [])
    assert all(type(weight) is not torch.Tensor for weight in spread.parameters())
