"""What is known of GGUF files without llama.cpp."""

import struct

import numpy
import pytest
from tunesmith import TunesmithError
from tunesmith_library_llamacpp import memory, program
from tunesmith_library_llamacpp.files import adapter_file, gguf_file, head
from tunesmith_library_llamacpp.importance import read_importance
from tunesmith_library_llamacpp.model import Model


def write(path, *pairs, magic=b"GGUF", version=3):
    """A file with a head of texts and whole numbers, byte by byte as the format has it."""
    data = magic + struct.pack("<IQQ", version, 0, len(pairs))
    for key, value in pairs:
        data += struct.pack("<Q", len(key)) + key.encode()
        if isinstance(value, list):
            data += struct.pack("<IIQ", 9, 4, len(value)) + struct.pack(f"<{len(value)}I", *value)
        elif isinstance(value, int):
            data += struct.pack("<II", 4, value)
        else:
            data += struct.pack("<IQ", 8, len(value)) + value.encode()
    path.write_bytes(data)
    return path


def test_a_head(tmp_path):
    """Everything before the first list; what stands behind it is not read."""
    pairs = [("general.architecture", "llama"), ("llama.block_count", 2), ("tokenizer.ids", [1]), ("later", "x")]
    said = head(write(tmp_path / "a.gguf", *pairs))
    assert said == {"general.architecture": "llama", "llama.block_count": 2}


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ([("general.type", "adapter")], r"(?s)LoRA adapter.*chat BASE\.gguf engine\.adapters=\[.*lora\.gguf\]"),
        ([("general.architecture", "clip")], "reads pictures"),
        ([("general.type", "imatrix")], "importance matrix"),
    ],
)
def test_a_file_beside_models_is_not_loaded_as_one(tmp_path, said, told):
    with pytest.raises(TunesmithError, match=told):
        Model(write(tmp_path / "lora.gguf", *said), only_vocabulary=True)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda data: b"GGML" + data[4:], "does not begin with the word GGUF"),
        (lambda data: data[:4] + struct.pack("<I", 9) + data[8:], "version 9"),
        (lambda data: data[:30], "cut off"),
        (lambda data: b"", "does not begin"),
    ],
)
def test_what_is_no_such_file(tmp_path, change, told):
    file = write(tmp_path / "a.gguf", ("general.architecture", "llama"))
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(TunesmithError, match=told):
        head(file)


def test_the_model_of_a_folder(tmp_path):
    """What lies beside a model is none, and of several parts the first is meant."""
    write(tmp_path / "mmproj.gguf", ("general.architecture", "clip"))
    write(tmp_path / "lora.gguf", ("general.type", "adapter"))
    with pytest.raises(TunesmithError, match=r"no GGUF file.*lora\.gguf, mmproj\.gguf, none of them a model"):
        gguf_file(tmp_path)
    first = write(tmp_path / "m-00001-of-00002.gguf", ("general.architecture", "llama"))
    write(tmp_path / "m-00002-of-00002.gguf", ("split.no", 1))
    assert gguf_file(tmp_path) == gguf_file(first) == first
    other = write(tmp_path / "other.gguf", ("general.architecture", "llama"))
    with pytest.raises(TunesmithError, match=r"holds 2 models: m-00001-of-00002\.gguf, other\.gguf"):
        gguf_file(tmp_path)
    assert gguf_file(tmp_path, "other.gguf") == other
    with pytest.raises(TunesmithError, match=r"did you mean other\.gguf"):
        gguf_file(tmp_path, "othr.gguf")
    with pytest.raises(TunesmithError, match="no file or folder"):
        gguf_file(tmp_path / "nowhere")


def test_the_adapter_of_a_folder(tmp_path):
    write(tmp_path / "model.gguf", ("general.architecture", "llama"))
    with pytest.raises(TunesmithError, match="none"):
        adapter_file(tmp_path)
    lora = write(tmp_path / "lora.gguf", ("general.type", "adapter"))
    assert adapter_file(tmp_path) == adapter_file(lora) == lora


def test_an_importance_matrix_of_the_older_form(tmp_path):
    """Sums of mean squares over calls, and how many calls: llama.cpp's imatrix.dat."""
    name, values = b"blk.0.attn_q.weight", numpy.array([2.0, 4.0, 8.0], numpy.float32)
    entry = struct.pack("<i", len(name)) + name + struct.pack("<ii", 4, 3) + values.tobytes()
    (tmp_path / "imatrix.dat").write_bytes(struct.pack("<i", 1) + entry)
    assert read_importance(tmp_path / "imatrix.dat")[name.decode()].tolist() == [0.5, 1.0, 2.0]
    (tmp_path / "imatrix.dat").write_bytes(struct.pack("<i", 1) + entry[:-2])
    with pytest.raises(TunesmithError, match="no importance matrix that can be read"):
        read_importance(tmp_path / "imatrix.dat")


def test_without_the_program(monkeypatch):
    """Whoever needs llama.cpp is told how it is installed."""
    monkeypatch.setattr(program, "is_installed", lambda: False)
    with pytest.raises(TunesmithError, match=r"not installed\.\n  pip install 'tunesmith-library-llamacpp\[program\]'"):
        program.native.__wrapped__()


def test_threads(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert program.default_threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert program.default_threads() >= 1


LLAMA3 = {  # 8B: 32 layers, 8 groups of heads of 128 numbers: 128 KiB a token in 16 bits
    "general.architecture": "llama",
    "llama.block_count": "32",
    "llama.embedding_length": "4096",
    "llama.attention.head_count": "32",
    "llama.attention.head_count_kv": "8",
}


def test_the_memory_of_keys_and_values(monkeypatch):
    """By the head of the file; more than the machine has is refused before llama.cpp takes it."""
    assert memory.cache_bytes(LLAMA3, "f16") == 128 * 1024
    wide = {**LLAMA3, "llama.attention.key_length": "192", "llama.attention.value_length": "64"}
    assert memory.cache_bytes(wide, "f32") == 2 * 128 * 1024
    assert memory.cache_bytes(LLAMA3, "q8_0") == 128 * 1024 * 17 / 32
    assert memory.cache_bytes({"general.architecture": "mamba"}, "f16") is None
    monkeypatch.setattr(memory, "physical_memory", lambda: 16 * 2**30)
    memory.refuse_too_many(LLAMA3, "f16", 131_072)
    with pytest.raises(TunesmithError, match=r"take 16\.1 GiB in f16.* has 16\.0 GiB\.\n  65,536 tokens"):
        memory.refuse_too_many(LLAMA3, "f16", 132_000)
