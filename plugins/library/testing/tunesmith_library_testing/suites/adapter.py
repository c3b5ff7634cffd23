"""What every adapter keeps to."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest

from tunesmith_library_testing.estimated import check_changes
from tunesmith_library_testing.holding import held_bytes
from tunesmith_library_testing.parts import (
    StubPlan,
    collate,
    estimate_of,
    examples,
    load_plain,
    logits_of,
    source_of,
    train,
)
from tunesmith_library_testing.suites.plugin import PluginSuite


class AdapterSuite(PluginSuite):
    """The tests of an `adapter` plugin, on a tiny Llama in bfloat16 or float32."""

    kind = "adapter"
    trains_everything: ClassVar[bool] = False  # True: all weights are trained, and a whole model is saved
    saves_whole_model: ClassVar[bool] = False  # True: a part of the weights is trained, and a whole model is saved
    changes_nothing_at_first: ClassVar[bool] = True  # an untrained adapter leaves the model's function as it is
    mergeable: ClassVar[bool] = True  # False: merge_adapter is not implemented, or refuses
    merge_tolerance: ClassVar[float] = 1e-4  # of logits, absolute, before and after merging
    learning_rate: ClassVar[float] = 1e-2  # of AdamW in the 20 steps of the tests
    falls_to: ClassVar[float] = 0.9  # the loss after 20 steps on one batch, over the loss before

    def adapted(
        self, folder: Path, trained: Path | None = None, *, dtype: str = "float32", training: bool = True
    ) -> Any:
        """The tiny model as `apply_adapter` leaves it."""
        import torch

        torch.manual_seed(0)
        source = source_of(folder, training=training)
        return self.manager().hook.apply_adapter(model=load_plain(folder, dtype), trained=trained, source=source)

    def fitted(self, folder: Path, tokenizer: Any) -> tuple[Any, list[float]]:
        """An adapted model after 20 steps on one batch, and its losses."""
        model = self.adapted(folder)
        model.train()
        losses = train(model, collate(examples(tokenizer)), learning_rate=self.learning_rate)
        return model, losses

    def test_chooses_what_is_trained(self, tiny_llama: Path) -> None:
        """Something is trained; all of it only where the test class says so."""
        weights = list(self.adapted(tiny_llama).parameters())
        trained = sum(weight.numel() for weight in weights if weight.requires_grad)
        total = sum(weight.numel() for weight in weights)
        assert trained > 0
        assert (trained == total) == self.trains_everything, f"{trained} of {total} weights are trained"

    def test_trains_in_float32(self, tiny_llama: Path) -> None:
        """Trainable weights are float32, also over a base in bfloat16."""
        model = self.adapted(tiny_llama, dtype="bfloat16")
        dtypes = {str(weight.dtype) for weight in model.parameters() if weight.requires_grad}
        assert dtypes == {"torch.float32"}

    def test_estimates_what_is_trained(self, tiny_llama: Path) -> None:
        """What it says that it costs is what it trains, number by number, and in how many bytes."""
        if "estimate" not in self.hooks():
            pytest.skip("this adapter says nothing of what it costs")
        (found,) = self.manager().hook.estimate(
            estimate=estimate_of(load_plain(tiny_llama)), plan=StubPlan({self.kind: {"this": self.make()}})
        )
        check_changes(self, found)
        adapted = self.adapted(tiny_llama)
        trained = [weight for weight in adapted.parameters() if weight.requires_grad]
        assert found.trained == sum(weight.numel() for weight in trained)
        said = sum(weight.bytes for weight in found.weights if weight.trained)
        assert said == sum(weight.numel() * weight.element_size() for weight in trained)
        whole, held = found.bytes("step")["weights"], held_bytes(*adapted.parameters())
        assert abs(whole - held) <= 0.01 * held, f"{whole} bytes of weights were said, {held} are held"

    def test_starts_where_the_base_is(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """Before the first step the model's function is the base's."""
        if not self.changes_nothing_at_first:
            pytest.skip("this adapter changes the model from the start")
        difference = logits_of(self.adapted(tiny_llama), tiny_bpe) - logits_of(load_plain(tiny_llama), tiny_bpe)
        assert difference.abs().max().item() <= self.merge_tolerance

    def test_learns(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """Twenty steps lower the loss, and what is frozen stays as it was."""
        model = self.adapted(tiny_llama)
        frozen = {name: weight.clone() for name, weight in model.named_parameters() if not weight.requires_grad}
        model.train()
        losses = train(model, collate(examples(tiny_bpe)), learning_rate=self.learning_rate)
        assert losses[-1] < self.falls_to * losses[0], f"{losses[0]:.3f} -> {losses[-1]:.3f}"
        after = dict(model.named_parameters())
        changed = [name for name, weight in frozen.items() if not bool((after[name] == weight).all())]
        assert not changed, f"frozen weights changed: {changed[:3]}"

    def test_saves_and_loads(self, tiny_llama: Path, tiny_bpe: Any, tmp_path: Path) -> None:
        """What was saved gives the same logits when it is loaded, as safetensors only."""
        model, _ = self.fitted(tiny_llama, tiny_bpe)
        expected = logits_of(model, tiny_bpe)
        model.save_pretrained(tmp_path / "saved")
        files = {file.suffix for file in (tmp_path / "saved").iterdir()}
        assert ".safetensors" in files and not files & {".bin", ".pt", ".pth"}, files
        if self.trains_everything or self.saves_whole_model:
            again = load_plain(tmp_path / "saved")
        else:
            again = self.adapted(tiny_llama, tmp_path / "saved", training=False)
            assert not [name for name, weight in again.named_parameters() if weight.requires_grad]
        assert (logits_of(again, tiny_bpe) - expected).abs().max().item() == 0

    def test_continues(self, tiny_llama: Path, tiny_bpe: Any, tmp_path: Path) -> None:
        """An adapter that was loaded for training is trained on."""
        if self.trains_everything or self.saves_whole_model:
            pytest.skip("a whole model is loaded as a model")
        model, _ = self.fitted(tiny_llama, tiny_bpe)
        model.save_pretrained(tmp_path / "saved")
        again = self.adapted(tiny_llama, tmp_path / "saved")
        trained = [name for name, weight in model.named_parameters() if weight.requires_grad]
        assert [name for name, weight in again.named_parameters() if weight.requires_grad] == trained

    def test_merges(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """The merged model is plain: the base's class and weights' names, the adapted model's function."""
        if not self.mergeable:
            pytest.skip("this adapter cannot be merged")
        model, _ = self.fitted(tiny_llama, tiny_bpe)
        expected, plain = logits_of(model, tiny_bpe), load_plain(tiny_llama)
        assert (expected - logits_of(plain, tiny_bpe)).abs().max().item() > 10 * self.merge_tolerance
        merged = self.manager().hook.merge_adapter(model=model)
        assert type(merged) is type(plain)
        assert merged.state_dict().keys() == plain.state_dict().keys()
        difference = (logits_of(merged, tiny_bpe) - expected).abs().max().item()
        assert difference <= self.merge_tolerance, f"merging changes logits by {difference:.2g}"
