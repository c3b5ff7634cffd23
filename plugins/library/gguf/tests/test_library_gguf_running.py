"""What llama.cpp computes with the files: transformers' logits, of every architecture, and its tokens."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tunesmith_library_gguf.models import model_of, shown, tell
from tunesmith_library_gguf.writing import write_model
from tunesmith_library_proving.figures import compare
from tunesmith_library_testing.gguf_models import MODELS, piece_tokenizer, save_gguf_model
from tunesmith_library_testing.parts import load_plain
from tunesmith_library_testing.tiny import save_tiny_model

pytestmark = pytest.mark.slow
pytest.importorskip("llama_cpp", reason="the program that runs the files is not installed")

TEXT = "<|im_start|>user\nWhales sing, the tide turns, né 12 345.<|im_end|>\n<|im_start|>assistant\n  Who?<|im_end|>\n"


@pytest.mark.parametrize("name", MODELS)
def test_llama_cpp_computes_what_transformers_does(tmp_path: Path, name: str) -> None:
    from transformers import AutoTokenizer
    from tunesmith_library_llamacpp.reader import GGUFReader

    folder, file = save_gguf_model(name, tmp_path / name), tmp_path / "model.gguf"
    write_model(file, model_of(folder, name), "f32")
    ids = AutoTokenizer.from_pretrained(folder).encode(TEXT, add_special_tokens=False)
    longer = (ids * 3)[:100]  # beyond the window of attention, where there is one
    with torch.no_grad():
        expected = load_plain(folder)(input_ids=torch.tensor([longer]), use_cache=False).logits[0].float()
    with GGUFReader(file) as reader:
        found = compare([expected], [reader.logits(longer)], [longer])
        assert reader.tokens(TEXT) == ids
    assert found.largest < 1e-3 and found.divergence < 1e-7 and found.same_choice > 0.98


def test_the_language_model_of_one_that_reads_pictures(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Gemma 3 with a tower: its text is computed as before, and what is left out is counted."""
    import transformers
    from safetensors.torch import load_file
    from tunesmith_library_llamacpp.reader import GGUFReader

    tokenizer, folder = piece_tokenizer(), tmp_path / "gemma3"
    text = {"vocab_size": len(tokenizer), "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
    text |= {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "query_pre_attn_scalar": 16}
    vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision |= {"image_size": 28, "patch_size": 14}
    config = transformers.Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4)
    torch.manual_seed(0)
    model = transformers.Gemma3ForConditionalGeneration(config).eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    planned, ids = model_of(folder, "gemma3"), list(range(4, 60))
    outside = [name for name in load_file(folder / "model.safetensors") if "language_model" not in name]
    assert tell(planned)["left_out"] == len(outside) > 10 and f"{len(outside)} tensors are left out" in caplog.text
    assert "exporter.gguf.mmproj=true with exporter.gguf.converter" in caplog.text
    write_model(tmp_path / "model.gguf", planned, "f32")
    with torch.no_grad(), GGUFReader(tmp_path / "model.gguf") as reader:
        torch.testing.assert_close(
            reader.logits(ids), model(input_ids=torch.tensor([ids])).logits[0], atol=1e-3, rtol=0
        )


def test_a_name_tells_how_special_tokens_are_found(tmp_path: Path) -> None:
    folder = save_gguf_model("phi3", tmp_path / "phi3")
    assert shown("my Phi-3", folder) == "my phi 3", "none of its tokens takes the space behind it along"
    file = folder / "tokenizer.json"
    file.write_text(file.read_text().replace('"rstrip": false', '"rstrip": true', 1))
    assert shown("mine", folder) == "mine phi-3" and shown("my Phi-3", folder) == "my Phi-3"


@pytest.mark.real
@pytest.mark.parametrize(("name", "architecture"), [("llama2", "llama"), ("qwen", "qwen2")])
def test_published_tokenizers_cut_in_llama_cpp_as_in_training(
    real_files: Path, tmp_path: Path, name: str, architecture: str
) -> None:
    """Real conversations in two languages, code, spaces and emojis, between special tokens."""
    from transformers import AutoTokenizer
    from tunesmith_library_llamacpp.reader import GGUFReader

    tokenizer = AutoTokenizer.from_pretrained(real_files / "tokenizers" / name)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    options: dict[str, Any] = {"hidden_size": 32, "layers": 1, "dtype": "float16"}
    folder = save_tiny_model(tmp_path / name, architecture=architecture, tokenizer=tokenizer, **options)
    write_model(tmp_path / "model.gguf", model_of(folder, name), "f16")
    texts = [
        "  two spaces\t\ttabs \n\n\n lines  ",
        "\U0001f999\U0001f999 1234567 don't I'LL",
        "def f(x):\n    return x**2  # \u4f60",
    ]
    for file in ("alpaca_en_demo.json", "alpaca_zh_demo.json"):
        rows = json.loads((real_files / "data" / file).read_text())[:80]
        texts += [f"{row['instruction']}\n{row['output']}" for row in rows]
    served, first = AutoTokenizer.from_pretrained(folder), tokenizer.bos_token or "<|im_start|>"
    with GGUFReader(tmp_path / "model.gguf") as reader:
        for text in texts:
            written = f"{first}user\n{text}{tokenizer.eos_token}\n"
            assert reader.tokens(written) == served.encode(written, add_special_tokens=False), text
