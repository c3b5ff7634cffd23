"""Models that also see or hear: loaded whole where the processor is, as language models where text is all there is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import transformers
from tunesmith_model_transformers import loading

SEES, READS = SimpleNamespace(image_processor=object()), SimpleNamespace()


@pytest.mark.parametrize(
    ("config", "processor", "expected"),
    [
        (transformers.Qwen3_5Config, SEES, "Qwen3_5ForConditionalGeneration"),
        (transformers.Qwen3_5Config, READS, "Qwen3_5ForCausalLM"),
        (transformers.MllamaConfig, SEES, "MllamaForConditionalGeneration"),
        (transformers.Qwen2VLConfig, READS, "Qwen2VLForConditionalGeneration"),
        (transformers.VoxtralConfig, SEES, "VoxtralForConditionalGeneration"),
        (transformers.LlamaConfig, SEES, "LlamaForCausalLM"),
    ],
)
def test_the_class_of_a_model(config: Any, processor: Any, expected: str) -> None:
    auto = loading._loader(config(), processor)
    assert auto._model_mapping[config].__name__ == expected


def test_a_model_that_only_generates_is_refused() -> None:
    """Qwen2.5-Omni as a whole speaks, too, and has no forward pass that could be trained."""
    with pytest.raises(ValueError, match="no causal language model"):
        loading._loader(transformers.Qwen2_5OmniConfig(), SEES)
