import torch
from tunesmith_library_testing import TrainerSuite
from tunesmith_library_testing.parts import collate, examples, load_plain, mean_loss
from tunesmith_trainer_placeholder import Placeholder


class TestPlaceholder(TrainerSuite):
    plugin = Placeholder


def test_one_step_by_hand(tiny_llama, tiny_bpe, tmp_path):
    job, _ = TestPlaceholder().job(tiny_llama, tiny_bpe, tmp_path / "run")
    Placeholder(max_steps=1, per_device_train_batch_size=6, learning_rate=1e-3).fit(job=job)
    model = load_plain(tiny_llama).train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.0)
    mean_loss(model, collate(examples(tiny_bpe) * 3)).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    for ours, expected in zip(job.model.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-3)
