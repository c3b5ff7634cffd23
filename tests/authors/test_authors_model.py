import torch
from model_shallow import Shallow
from tunesmith_library_testing import ModelSuite
from tunesmith_library_testing.parts import load_plain, source_of


class TestShallow(ModelSuite):
    plugin = Shallow
    one_file = True


def test_the_first_layers_alone(tiny_llama):
    plain, ids = load_plain(tiny_llama), torch.tensor([[5, 6, 7]])
    source = source_of(tiny_llama, training=False)
    shallow = Shallow(path="tiny", layers=1).load_model(source=source, processor=None, quantization=None)
    del plain.model.layers[1:]
    torch.testing.assert_close(shallow(ids).logits, plain(ids).logits)
    assert shallow.config.num_hidden_layers == 1
