import pytest
import torch
from loss_smooth import Smooth
from tunesmith_library_testing import LossSuite
from tunesmith_library_testing.parts import collate, compute_loss, examples, load_plain


class TestSmooth(LossSuite):
    plugin = Smooth
    one_file = True


def test_a_share_of_the_target_is_spread(tiny_llama, tiny_bpe):
    """(1 - s) of the loss of the label, and s of the mean over the vocabulary, computed in float64."""
    model, batch = load_plain(tiny_llama), collate(examples(tiny_bpe))
    logits = model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1].double()
    labels = batch["labels"][:, 1:]
    log_probs = logits.log_softmax(-1)
    own = log_probs.gather(-1, labels.clamp(min=0)[..., None]).squeeze(-1)
    expected = -(0.75 * own + 0.25 * log_probs.mean(-1))[labels != -100].sum()
    found = Smooth(share=0.25).compute_loss(model=model, batch=batch).loss
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    torch.testing.assert_close(
        Smooth(share=0.0).compute_loss(model=model, batch=batch).loss, compute_loss(model, batch).loss
    )
