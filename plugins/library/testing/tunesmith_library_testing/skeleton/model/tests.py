import pytest
import torch
from tunesmith_library_testing import ModelSuite
from tunesmith_library_testing.parts import source_of
from tunesmith_model_placeholder import Placeholder


class TestPlaceholder(ModelSuite):
    plugin = Placeholder


@pytest.mark.parametrize(("training", "dtype"), [(True, torch.float32), (False, torch.bfloat16)])
def test_numbers_of_the_weights(tiny_llama, training, dtype):
    source = source_of(tiny_llama, precision="bf16", training=training)
    model = Placeholder(path="tiny").load_model(source=source, quantization=None)
    assert {weight.dtype for weight in model.parameters()} == {dtype}
