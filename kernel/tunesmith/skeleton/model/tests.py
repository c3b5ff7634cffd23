import pytest
import torch
from tunesmith.testing import ModelSuite
from tunesmith.testing.parts import source_of
from tunesmith_model_placeholder import Placeholder


class TestPlaceholder(ModelSuite):
    plugin = Placeholder


@pytest.mark.parametrize(("training", "dtype"), [(True, torch.float32), (False, torch.bfloat16)])
def test_numbers_of_the_weights(tiny_model, training, dtype):
    source = source_of(tiny_model, precision="bf16", training=training)
    model = Placeholder(path="tiny").load_model(source=source, quantization=None)
    assert {weight.dtype for weight in model.parameters()} == {dtype}
