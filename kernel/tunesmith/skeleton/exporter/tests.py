import torch
from safetensors.torch import load_file
from tunesmith.testing import ExporterSuite
from tunesmith.testing.parts import handle_of, load_plain
from tunesmith_exporter_placeholder import Placeholder


class TestPlaceholder(ExporterSuite):
    plugin = Placeholder
    for_transformers = False


def test_weights_are_the_models(tiny_model, tokenizer, tmp_path):
    handle = handle_of(tiny_model, tokenizer)
    written = load_file(Placeholder(dtype="bfloat16").export(handle=handle, output_dir=tmp_path / "export"))
    expected = load_plain(tiny_model).state_dict()
    assert written.keys() == expected.keys()
    assert all(torch.equal(written[name], weight.to(torch.bfloat16)) for name, weight in expected.items())
