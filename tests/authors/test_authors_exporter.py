import pytest
from exporter_projector import Projector
from tunesmith_library_testing import ExporterSuite
from tunesmith_library_testing.parts import handle_of, load_plain

pytestmark = pytest.mark.slow


class TestProjector(ExporterSuite):
    plugin = Projector
    one_file = True
    for_transformers = False


def test_a_line_for_each_token(tiny_llama, tiny_bpe, tmp_path):
    folder = Projector(most=7).export(handle=handle_of(tiny_llama, tiny_bpe), output_dir=tmp_path / "export")
    vectors = [line.split("\t") for line in (folder / "vectors.tsv").read_text().splitlines()]
    weights = load_plain(tiny_llama).get_input_embeddings().weight
    assert (len(vectors), len(vectors[0])) == (7, weights.shape[1])
    assert [float(x) for x in vectors[6]] == pytest.approx(weights[6].tolist(), rel=1e-4)
    assert len((folder / "tokens.tsv").read_text().splitlines()) == 7
