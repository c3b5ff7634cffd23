import pytest
import torch
from patch_layer_drop import LayerDrop
from tunesmith_library_testing import PatchSuite
from tunesmith_library_testing.parts import load_plain

pytestmark = pytest.mark.slow


class TestLayerDrop(PatchSuite):
    plugin = LayerDrop
    one_file = True


def test_without_layers_the_embeddings_are_read_out(tiny_llama):
    suite = type("Suite", (TestLayerDrop,), {"options": {"p": 0.999999}})()
    dropped, plain, ids = suite.load(tiny_llama).train(), load_plain(tiny_llama), torch.tensor([[5, 6, 7]])
    expected = plain.lm_head(plain.model.norm(plain.model.embed_tokens(ids)))
    torch.testing.assert_close(dropped(ids).logits, expected)
