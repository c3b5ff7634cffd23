"""Files beside those of llama.cpp's own converter: all keys and all tensors, for every architecture.

`TUNESMITH_LLAMA_CPP` names a folder of llama.cpp's source, such as `vendor/llama.cpp` of llama-cpp-python's sdist.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from tunesmith_library_gguf.exporting import Wanted, export_gguf
from tunesmith_library_gguf.models import model_of
from tunesmith_library_gguf.writing import write_model
from tunesmith_library_testing.gguf_models import MODELS, save_gguf_model
from tunesmith_library_testing.parts import CHATML, handle_of
from tunesmith_library_testing.tiny import save_tiny_model

pytestmark = pytest.mark.slow

KINDS = {"llama": "q8_0", "llama3": "bf16", "mixtral": "q8_0", "qwen3": "f32"}  # of the others f16

# The converter in one process for all models. It knows pre-tokenizers by their vocabulary, and these are of a test.
CONVERTER = """
import sys
sys.path.insert(0, sys.argv[1])
import torch
from pathlib import Path
from conversion import ModelBase, ModelType, get_model_architecture, get_model_class
from conversion.base import TextModel
import gguf
TextModel.get_vocab_base_pre = lambda self, tokenizer: "gpt-2"
names = {"f32": "ALL_F32", "f16": "MOSTLY_F16", "bf16": "MOSTLY_BF16", "q8_0": "MOSTLY_Q8_0"}
for line in sys.argv[2:]:
    folder, file, kind = line.split("|")
    with torch.inference_mode():
        said = ModelBase.load_hparams(Path(folder), False)
        model = get_model_class(get_model_architecture(said, ModelType.TEXT))
        model(Path(folder), gguf.LlamaFileType[names[kind]], Path(file)).write()
"""

# What the converter writes for CodeGemma alone, whatever Gemma it is given.
OF_CODE_GEMMA = {f"tokenizer.ggml.{name}_token_id" for name in ("prefix", "suffix", "middle", "fsep", "eot")}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with each model, and what the converter makes of it."""
    source = os.environ.get("TUNESMITH_LLAMA_CPP")
    if source is None:
        pytest.skip("TUNESMITH_LLAMA_CPP names no folder of llama.cpp, whose converter this is compared with")
    if importlib.util.find_spec("sentencepiece") is None:
        pytest.skip("llama.cpp's converter needs sentencepiece")
    folder = tmp_path_factory.mktemp("models")
    for name in MODELS:
        save_gguf_model(name, folder / name)
    jobs = [f"{folder / name}|{folder / name}.reference|{KINDS.get(name, 'f16')}" for name in MODELS]
    done = subprocess.run([sys.executable, "-c", CONVERTER, source, *jobs], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


def contents(file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The keys of a file with types and values, and its tensors."""
    reader = gguf.GGUFReader(file)
    keys = {key: (field.types, field.contents()) for key, field in reader.fields.items() if not key.startswith("GGUF.")}
    return keys, {tensor.name: tensor for tensor in reader.tensors}


@pytest.mark.parametrize("name", MODELS)
def test_keys_and_tensors_are_the_converters(models: Path, name: str) -> None:
    file = models / f"{name}.gguf"
    write_model(file, model_of(models / name, name), KINDS.get(name, "f16"))
    (ours, written), (theirs, expected) = contents(file), contents(models / f"{name}.reference")
    assert ours.pop("general.name")[1] == name.replace("phi3", "phi 3")  # by which llama.cpp tells what its tokens do
    assert theirs.pop("general.name")[1].lower() == name
    assert ours.pop("tokenizer.ggml.pre") and theirs.pop("tokenizer.ggml.pre")  # which is not found out above
    for key in ("add_bos_token", "add_space_prefix"):  # which the converter leaves to llama.cpp's defaults
        said = ours.pop(f"tokenizer.ggml.{key}", None)
        assert theirs.pop(f"tokenizer.ggml.{key}", said) == said
    for key in OF_CODE_GEMMA if name == "gemma" else ():
        theirs.pop(key, None)
    assert ours == theirs
    assert written.keys() == expected.keys()
    for tensor, held in written.items():
        assert (held.tensor_type, list(held.shape)) == (expected[tensor].tensor_type, list(expected[tensor].shape))
        if tensor == "rope_freqs.weight":  # computed in another order
            np.testing.assert_allclose(held.data, expected[tensor].data, rtol=1e-6)
        else:
            assert np.array_equal(held.data, expected[tensor].data), tensor


@pytest.mark.real
def test_other_architectures_take_the_converter(real_files: Path, tmp_path: Path) -> None:
    """One that is not written here, with a tokenizer that the converter knows, proven in llama.cpp as others are."""
    pytest.importorskip("llama_cpp", reason="the program that runs the files is not installed")
    source = os.environ.get("TUNESMITH_LLAMA_CPP")
    if source is None or importlib.util.find_spec("sentencepiece") is None:
        pytest.skip("TUNESMITH_LLAMA_CPP names no folder of llama.cpp, or its converter lacks sentencepiece")
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(real_files / "tokenizers" / "qwen")
    tokenizer.bos_token = tokenizer.pad_token = tokenizer.eos_token
    folder = save_tiny_model(tmp_path / "base", architecture="olmo2", tokenizer=tokenizer, layers=1)
    handle = handle_of(folder, tokenizer, template=CHATML.bind(tokenizer))
    with handle.shared:
        export_gguf(handle, tmp_path / "out", Wanted(("f16",), converter=Path(source)))
    report = json.loads((tmp_path / "out" / "export_report.json").read_text())
    assert report["figures"]["divergence"] < 1e-4 and report["tensors"]["types"]["F16"] == 9
