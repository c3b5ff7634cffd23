"""A GGUF file's cost by its head, of files that the library `gguf` writes."""

import gguf
import numpy
import pytest
from tunesmith_library_estimates.estimation import Estimate
from tunesmith_model_gguf import GGUF


@pytest.fixture
def file(tmp_path):
    """One of a Llama of two layers, with a list before its numbers, as converters write tags."""
    writer = gguf.GGUFWriter(tmp_path / "model.gguf", "llama")
    writer.add_tags(["chat", "small"])
    writer.add_block_count(2)
    writer.add_context_length(512)
    writer.add_embedding_length(64)
    writer.add_feed_forward_length(128)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_token_list([f"<{number}>" for number in range(96)])
    writer.add_tensor("token_embd.weight", numpy.zeros((96, 64), dtype=numpy.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tmp_path / "model.gguf"


def test_the_head_of_a_file(file):
    for path in (file, file.parent):
        found = GGUF(path=str(path)).estimate(Estimate("bf16"))
        assert (found.hidden_size, found.vocabulary, found.unknown) == (64, 96, ())
        assert found.bytes("load")["weights"] == pytest.approx(file.stat().st_size, rel=1e-9)
        shapes = {weight.name: weight.shape for weight in found.weights}
        assert shapes["model.layers.1.self_attn.k_proj.weight"] == (32, 64)
        assert (found.cache.per_token, found.cache.context) == (2 * 2 * 2 * 16, 512)


def test_a_file_that_is_cut_off_or_another_one(file, tmp_path):
    whole = file.read_bytes()
    for content in (whole[:60], b"", b"PK" + whole):
        (tmp_path / "broken.gguf").write_bytes(content)
        found = GGUF(path=str(tmp_path / "broken.gguf")).estimate(Estimate("bf16"))
        assert found.weights == () and found.unknown[0].startswith("the model: ")
    assert "no file or folder" in GGUF(path="elsewhere.gguf").estimate(Estimate("bf16")).unknown[0]
