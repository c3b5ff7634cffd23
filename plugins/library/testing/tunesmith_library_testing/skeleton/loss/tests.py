import torch
from tunesmith_library_testing import LossSuite
from tunesmith_library_testing.parts import collate, compute_loss, examples, load_plain
from tunesmith_loss_placeholder import Placeholder


class TestPlaceholder(LossSuite):
    plugin = Placeholder


def test_gamma_zero_is_cross_entropy(tiny_llama, tiny_bpe):
    model, batch = load_plain(tiny_llama), collate(examples(tiny_bpe))
    focal = Placeholder(gamma=0.0).compute_loss(model=model, batch=batch).loss
    torch.testing.assert_close(focal, compute_loss(model, batch).loss)
