import torch
from safetensors.torch import load_file
from tunesmith_exporter_placeholder import Placeholder
from tunesmith_library_testing import ExporterSuite
from tunesmith_library_testing.parts import handle_of, load_plain


class TestPlaceholder(ExporterSuite):
    plugin = Placeholder
    for_transformers = False


def test_weights_are_the_models(tiny_llama, tiny_bpe, tmp_path):
    handle = handle_of(tiny_llama, tiny_bpe)
    written = load_file(Placeholder(dtype="bfloat16").export(handle=handle, output_dir=tmp_path / "export"))
    expected = load_plain(tiny_llama).state_dict()
    assert written.keys() == expected.keys()
    assert all(torch.equal(written[name], weight.to(torch.bfloat16)) for name, weight in expected.items())
