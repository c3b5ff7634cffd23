"""`tunesmith chat` of a GGUF file, from the file alone."""

import pytest
from tunesmith import TunesmithError, chat
from tunesmith.compose import compose
from tunesmith.types import Sampling
from tunesmith_library_chat.chatml import CHATML
from tunesmith_library_testing.gguf import save_tiny_gguf
from tunesmith_library_testing.parts import CHAT, load_plain

pytestmark = pytest.mark.slow
pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed: make programs")

GREEDY = Sampling(max_new_tokens=8, temperature=0.0)


@pytest.fixture(scope="module")
def file(tiny_llama, tmp_path_factory):
    return save_tiny_gguf(tiny_llama, tmp_path_factory.mktemp("asked") / "tiny.gguf", template=CHATML.exported)


def test_answers_as_transformers(file, tiny_llama, tiny_bpe, monkeypatch):
    """A file and the folder that holds it are asked as they are, and answer as the model that they are of."""
    import torch

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    prompt = tiny_bpe.encode(CHATML.render(CHAT[:1], add_generation_prompt=True).text, add_special_tokens=False)
    ends = [tiny_bpe.convert_tokens_to_ids(token) for token in ("</s>", "<|im_end|>")]
    ids = load_plain(tiny_llama).generate(
        torch.tensor([prompt]), max_new_tokens=8, do_sample=False, eos_token_id=ends, pad_token_id=0
    )
    expected = tiny_bpe.decode(ids[0, len(prompt) :], skip_special_tokens=True)
    for path in (str(file), str(file.parent)):
        assert chat(path, [list(CHAT[:1])], {"engine.cache": "f32"}, sampling=GREEDY) == [expected]


def test_what_cannot_be_asked(file, tmp_path):
    with pytest.raises(TunesmithError, match="engine=llamacpp runs it"):
        chat(str(file), [list(CHAT[:1])], {"engine": "transformers"})
    (tmp_path / "broken.gguf").write_bytes(b"GGUF, and nothing more")
    with pytest.raises(TunesmithError, match="cut off or broken"):
        chat(str(tmp_path / "broken.gguf"), [list(CHAT[:1])])


def test_the_configuration(file):
    """What is asked, and with what, stands in the configuration, and can be written over."""
    tree = compose(str(file), {"engine.batch_size": 2}).tree
    assert tree["model"] == {"name": "gguf", "path": str(file)}
    assert tree["engine"] == {"name": "llamacpp", "batch_size": 2}
