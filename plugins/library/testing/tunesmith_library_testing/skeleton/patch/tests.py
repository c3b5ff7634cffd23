import torch
from tunesmith_library_testing import PatchSuite
from tunesmith_patch_placeholder import Placeholder


class TestPlaceholder(PatchSuite):
    plugin = Placeholder


def test_drops_the_share(tiny_llama):
    suite = TestPlaceholder()
    embeddings = suite.load(tiny_llama).train().get_input_embeddings()
    dropped = (embeddings(torch.arange(200)) == 0).float().mean().item()
    assert abs(dropped - 0.1) < 0.02
