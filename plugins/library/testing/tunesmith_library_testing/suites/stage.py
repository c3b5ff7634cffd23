"""What every training objective keeps to."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tunesmith import DataError
from tunesmith.types import LossOutput
from tunesmith_library_chat import ChatTemplate

from tunesmith_library_testing.estimated import check_estimate
from tunesmith_library_testing.parts import CHATML, load_plain
from tunesmith_library_testing.suites.plugin import PluginSuite


class StageSuite(PluginSuite):
    """The tests of a `stage` plugin, from canonical rows to a falling loss, on a tiny Llama."""

    kind = "stage"
    rows: ClassVar[list[dict[str, Any]]]  # at least two canonical rows, of different lengths
    wrong_row: ClassVar[dict[str, Any]] = {"colour": "green"}  # a row that this objective cannot train on
    template: ClassVar[ChatTemplate] = CHATML
    padding_free: ClassVar[bool] = True  # False: the objective always pads
    brings_loop: ClassVar[bool] = False  # True: the stage implements `fit`, and may leave out collate and compute_loss
    tolerance: ClassVar[float] = 1e-4  # relative, between ways to batch the same examples
    learning_rate: ClassVar[float] = 1e-3  # of AdamW in the 20 steps

    def model(self, folder: Path) -> Any:
        """The model that is trained; a test class may load another."""
        return load_plain(folder)

    def encoded(self, tokenizer: Any, rows: list[dict[str, Any]] | None = None) -> dict[str, list[Any]]:
        """The columns of rows."""
        rows = copy.deepcopy(self.rows if rows is None else rows)
        return self.manager().hook.encode(rows=rows, processor=tokenizer, template=self.template.bind(tokenizer))

    def examples(self, tokenizer: Any) -> list[dict[str, Any]]:
        """The encoded rows, one mapping each."""
        columns = self.encoded(tokenizer)
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]

    def loss(self, model: Any, examples: list[dict[str, Any]], padding_free: bool = False) -> tuple[Any, LossOutput]:
        """The batch of some examples and its loss."""
        hook = self.manager().hook
        batch = hook.collate(examples=examples, padding_free=padding_free, processor=None)
        return batch, hook.compute_loss(model=model, batch=dict(batch))

    def _needs_loss(self) -> None:
        if self.brings_loop and "compute_loss" not in self.hooks():
            pytest.skip("this stage brings its own loop")

    def test_estimates_nothing_impossible(self) -> None:
        """What it says that it costs, if it does, are sizes, numbers of operations, and changes that can be typed."""
        check_estimate(self, "train")

    def test_encodes(self, tiny_bpe: Any) -> None:
        """Equally long columns, and something in them."""
        columns = self.encoded(tiny_bpe)
        lengths = {name: len(values) for name, values in columns.items()}
        assert lengths and len(set(lengths.values())) == 1, lengths
        assert next(iter(lengths.values())) > 0, "every row was dropped"

    def test_wrong_rows(self, tiny_bpe: Any) -> None:
        """Rows of another shape are an error that says what was found."""
        with pytest.raises(DataError) as raised:
            self.encoded(tiny_bpe, [self.wrong_row])
        assert any(column in str(raised.value) for column in self.wrong_row), f"{raised.value}"

    def test_batches(self, tiny_bpe: Any) -> None:
        """`labels` as wide as `input_ids`; the number of items is positive, and adds up over examples."""
        self._needs_loss()
        rows, hook = self.examples(tiny_bpe), self.manager().hook
        alone = sum(
            float(hook.collate(examples=[row], padding_free=False, processor=None)["num_items"]) for row in rows
        )
        assert alone > 0
        for padding_free in (False, True) if self.padding_free else (False,):
            batch = hook.collate(examples=rows, padding_free=padding_free, processor=None)
            assert batch["labels"].shape == batch["input_ids"].shape
            assert float(batch["num_items"]) == pytest.approx(alone)

    def test_concatenated_batch(self, tiny_bpe: Any) -> None:
        """Without padding: shape (1, T), positions that restart where `cu_seq_lens` says, and no mask."""
        self._needs_loss()
        if not self.padding_free:
            pytest.skip("this objective always pads")
        import torch

        batch = self.manager().hook.collate(examples=self.examples(tiny_bpe), padding_free=True, processor=None)
        assert batch["input_ids"].shape[0] == 1 and "attention_mask" not in batch
        bounds = batch["cu_seq_lens_q"]
        assert bounds.dtype == torch.int32 and bool((bounds == batch["cu_seq_lens_k"]).all())
        assert bounds[0] == 0 and bounds[-1] == batch["input_ids"].shape[1]
        starts = (batch["position_ids"][0] == 0).nonzero().flatten()
        assert starts.tolist() == bounds[:-1].tolist()
        longest = int((bounds[1:] - bounds[:-1]).max())
        assert type(batch["max_length_q"]) is int and batch["max_length_q"] == batch["max_length_k"] == longest

    def test_loss_is_a_sum(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """A scalar in float32 over the batch's number of items, and gradients that reach the first layer."""
        self._needs_loss()
        import torch

        model = self.model(tiny_llama)
        batch, output = self.loss(model, self.examples(tiny_bpe))
        assert isinstance(output, LossOutput)
        assert output.loss.shape == () and output.loss.dtype == torch.float32 and bool(output.loss.isfinite())
        assert float(output.num_items) == pytest.approx(float(batch["num_items"]))
        output.loss.backward()
        gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
        assert gradients and all(bool(gradient.isfinite().all()) for gradient in gradients)
        assert any(bool(gradient.any()) for gradient in gradients)

    def test_batching_does_not_matter(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """Padded, concatenated, or one example at a time: the sum of the loss is the same."""
        self._needs_loss()
        import torch

        model, rows = self.model(tiny_llama), self.examples(tiny_bpe)
        with torch.no_grad():
            alone = sum(self.loss(model, [row])[1].loss.item() for row in rows)
            for padding_free in (False, True) if self.padding_free else (False,):
                together = self.loss(model, rows, padding_free)[1].loss.item()
                assert together == pytest.approx(alone, rel=self.tolerance), f"{padding_free=}"

    def test_learns(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """Twenty steps lower the loss."""
        self._needs_loss()
        import torch

        model, rows = self.model(tiny_llama).train(), self.examples(tiny_bpe)
        trained = [weight for weight in model.parameters() if weight.requires_grad]
        optimizer = torch.optim.AdamW(trained, self.learning_rate)
        values = []
        for _ in range(20):
            _, output = self.loss(model, rows, self.padding_free)
            values.append(output.loss.item() / float(output.num_items))
            optimizer.zero_grad()
            (output.loss / output.num_items).backward()
            optimizer.step()
        assert values[-1] < values[0], f"{values[0]:.3f} -> {values[-1]:.3f}"
