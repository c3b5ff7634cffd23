"""What every loss keeps to."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from tunesmith.types import LossOutput

from tunesmith_library_testing.parts import collate, examples, load_plain, mean_loss
from tunesmith_library_testing.suites.plugin import PluginSuite


class LossSuite(PluginSuite):
    """The tests of a `loss` plugin for token labels, on a tiny Llama."""

    kind = "loss"
    raises_likelihood: ClassVar[bool] = True  # whether it makes the trained tokens likelier, as most losses do

    def loss(self, model: Any, batch: dict[str, Any]) -> LossOutput:
        """What the hook gives."""
        return self.manager().hook.compute_loss(model=model, batch=batch)

    def test_is_a_sum(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """A scalar in float32, finite, differentiable, over the batch's number of items."""
        import torch

        batch, model = collate(examples(tiny_bpe)), load_plain(tiny_llama)
        output = self.loss(model, batch)
        assert isinstance(output, LossOutput)
        assert output.loss.shape == () and output.loss.dtype == torch.float32 and bool(output.loss.isfinite())
        assert abs(float(output.num_items) - batch["num_items"]) < 1e-3
        output.loss.backward()
        gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
        assert gradients and all(bool(gradient.isfinite().all()) for gradient in gradients)
        assert any(bool(gradient.any()) for gradient in gradients)

    def test_batching_does_not_matter(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """Padded, concatenated, or one example at a time: the sum is the same."""
        model, rows = load_plain(tiny_llama), examples(tiny_bpe)
        alone = sum(self.loss(model, collate([row])).loss.item() for row in rows)
        for padding_free in (False, True):
            together = self.loss(model, collate(rows, padding_free)).loss.item()
            same = abs(together - alone) <= 1e-4 * abs(alone) + 1e-4
            assert same, f"{padding_free=}: {together} != {alone}; give the sum over trained tokens, and no mean of it"

    def test_untrained_tokens_do_not_count(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """A batch in which nothing is trained has loss 0, not NaN, and still a gradient to call backward on."""
        rows = [{**row, "labels": [-100] * len(row["labels"])} for row in examples(tiny_bpe)]
        output = self.loss(load_plain(tiny_llama), collate(rows))
        assert output.loss.item() == 0, "nothing is trained: a sum of nothing is 0; the trainer divides by num_items"
        output.loss.backward()

    def test_lowers_itself(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """Twenty steps of gradient descent lower it, and make the trained tokens likelier."""
        import torch

        model, batch = load_plain(tiny_llama), collate(examples(tiny_bpe))
        likely = self._likelihood(model, batch)
        optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
        values = []
        for _ in range(20):
            output = self.loss(model, batch)
            values.append(output.loss.item())
            optimizer.zero_grad()
            (output.loss / output.num_items).backward()
            optimizer.step()
        assert values[-1] < values[0]
        wrong = "the trained tokens became less likely: its sign is wrong, or say raises_likelihood = False"
        assert self._likelihood(model, batch) > likely or not self.raises_likelihood, wrong

    @staticmethod
    def _likelihood(model: Any, batch: dict[str, Any]) -> float:
        """The mean log-probability of the trained tokens, by the model's own loss."""
        import torch

        with torch.no_grad():
            return -float(mean_loss(model, batch))
