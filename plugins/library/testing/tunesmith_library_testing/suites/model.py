"""What every model loader keeps to."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tunesmith import TunesmithError
from tunesmith.types import model_inputs
from tunesmith_library_chat import tokenizer_of

from tunesmith_library_testing.parts import collate, examples, load_plain, logits_of, source_of
from tunesmith_library_testing.suites.plugin import PluginSuite


class ModelSuite(PluginSuite):
    """The tests of a `model` plugin, on a tiny Llama on the CPU."""

    kind = "model"
    options: ClassVar[dict[str, Any]] = {"path": "models/tiny"}  # the path is not read: hooks are given the folder
    tolerance: ClassVar[float] = 1e-4  # of logits, absolute: against transformers' own loading and attention

    def load(self, folder: Path) -> tuple[Any, Any]:
        """The processor and the model of a folder, in float32, for inference."""
        hook, source = self.manager().hook, source_of(folder, training=False)
        processor = hook.load_processor(source=source)
        return processor, hook.load_model(source=source, processor=processor, quantization=None)

    @pytest.mark.parametrize("training", [True, False])
    def test_resolves_precision(self, training: bool, tiny_llama: Path) -> None:
        """fp32 is always possible; auto is one of the three, and the same when it is asked again."""
        resolve = functools.partial(self.manager().hook.resolve_precision, path=tiny_llama, training=training)
        assert resolve(requested="fp32") == "fp32"
        chosen = resolve(requested="auto")
        assert chosen in ("bf16", "fp16", "fp32") and resolve(requested="auto") == chosen

    def test_loads_the_tokenizer(self, tiny_llama: Path) -> None:
        """Text survives encoding and decoding, and there is a token to pad with."""
        processor = self.manager().hook.load_processor(source=source_of(tiny_llama))
        tokenizer = tokenizer_of(processor)
        text = "Whales sing. 你好"
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text
        assert tokenizer.pad_token_id is not None

    def test_loads_the_weights(self, tiny_llama: Path) -> None:
        """The logits are those of transformers' own loading, in evaluation mode."""
        processor, model = self.load(tiny_llama)
        expected = logits_of(load_plain(tiny_llama), processor)
        difference = (logits_of(model, processor) - expected).abs().max().item()
        assert difference <= self.tolerance

    def test_logits_of_chosen_positions(self, tiny_llama: Path) -> None:
        """`logits_to_keep` takes an index tensor and gives those rows of all logits."""
        import torch

        processor, model = self.load(tiny_llama)
        ids = torch.tensor([processor.encode("count the waves twice", add_special_tokens=False)])
        keep = torch.tensor([1, 3])
        with torch.no_grad():
            chosen = model(input_ids=ids, use_cache=False, logits_to_keep=keep).logits
            everything = model(input_ids=ids, use_cache=False).logits
        assert chosen.shape[1] == 2
        assert torch.allclose(chosen, everything[:, keep], atol=self.tolerance)

    def test_sequences_are_isolated(self, tiny_llama: Path) -> None:
        """Sequences concatenated to one batch get the logits that each gets alone."""
        import torch

        processor, model = self.load(tiny_llama)
        rows = examples(processor)
        batch = collate(rows, padding_free=True)
        with torch.no_grad():
            together = model(**model_inputs(batch), use_cache=False).logits[0]
            alone = [model(input_ids=torch.tensor([row["input_ids"]]), use_cache=False).logits[0] for row in rows]
        difference = (together - torch.cat(alone)).abs().max().item()
        assert difference <= self.tolerance, f"logits differ by {difference:.2g}: sequences see each other"

    def test_missing_files(self, tmp_path: Path) -> None:
        """A folder without a model is an error of the user's, with words."""
        source = source_of(tmp_path)
        with pytest.raises(TunesmithError):
            self.manager().hook.load_processor(source=source)
        with pytest.raises(TunesmithError):
            self.manager().hook.load_model(source=source, processor=None, quantization=None)
