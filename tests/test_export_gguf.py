"""From training to llama.cpp: runs that have learned an answer, as GGUF files that give it."""

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow
llama_cpp = pytest.importorskip("llama_cpp", reason="the program that runs the files is not installed")

QUESTION = "Who are you?"
ANSWER = "I am the tiny model of a test."
KINDS = ["f16", "q8_0", "q4_k_m"]
_WIDE = {"hidden_size": 256, "intermediate_size": 256, "layers": 1}  # rows that k-quants take
BASES: dict[str, dict[str, Any]] = {
    "llama": _WIDE,
    "qwen2": _WIDE,
    "qwen3": _WIDE,
    "gemma3_text": {**_WIDE, "tie_word_embeddings": True, "query_pre_attn_scalar": 16, "sliding_window": 64},
    "mixtral": {**_WIDE, "num_local_experts": 4},
}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("rows") / "train.json"
    file.write_text(json.dumps([{"instruction": QUESTION, "input": "", "output": ANSWER}] * 16))
    return file


def trained(architecture: str, rows: Path, folder: Path, **adapter: Any) -> Path:
    """A LoRA run that has learned one answer by heart."""
    import tunesmith
    from tunesmith_library_testing.tiny import save_tiny_model, tiny_tokenizer

    tokenizer = tiny_tokenizer()
    size = len(tokenizer) + 8
    save_tiny_model(
        folder / "base", architecture=architecture, tokenizer=tokenizer, vocab_size=size, **BASES[architecture]
    )
    config = {
        "model": {"path": str(folder / "base")},
        "template": "chatml",
        "data": {"train": [str(rows)], "cache": False},
        "adapter": {"name": "lora", "rank": 16, **adapter},
        "precision": "fp32",
        "tracker": [],
        "output_dir": str(folder / "run"),
        "trainer": {"max_steps": 40, "per_device_train_batch_size": 8, "learning_rate": 5e-3, "save_strategy": "no"},
    }
    return Path(tunesmith.train(config))


def answer(file: Path) -> str:
    """What llama-cpp-python's own chat answers, by the file's template."""
    model = llama_cpp.Llama(str(file), n_ctx=256, verbose=False)
    try:
        said = model.create_chat_completion([{"role": "user", "content": QUESTION}], temperature=0.0, max_tokens=24)
        return str(said["choices"][0]["message"]["content"]).strip()
    finally:
        model.close()


def answer_over(file: Path, adapter: Path | None) -> str:
    """What a base answers with an adapter, or without, to a prompt as it was trained."""
    model = llama_cpp.Llama(str(file), n_ctx=256, verbose=False, lora_path=adapter and str(adapter))
    try:
        prompt = f"<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n"
        return str(model.create_completion(prompt, temperature=0.0, max_tokens=24)["choices"][0]["text"]).strip()
    finally:
        model.close()


@pytest.mark.parametrize("architecture", BASES)
def test_each_file_gives_the_trained_answer(architecture: str, rows: Path, tmp_path: Path) -> None:
    import tunesmith

    run = trained(architecture, rows, tmp_path)
    out = tunesmith.export(run, {"exporter": {"gguf": {"type": KINDS}}}, output_dir=tmp_path / "sea")
    assert {kind: answer(out / f"sea-{kind.upper()}.gguf") for kind in KINDS} == dict.fromkeys(KINDS, ANSWER)
    files = json.loads((out / "export_report.json").read_text())["files"]
    small = files["sea-Q4_K_M.gguf"]
    assert small["tensors"]["types"].get("Q4_K", 0) > 3 and "fell_back" not in small["tensors"]
    assert small["figures"]["same_choice"] > 0.8 and small["base_in_this_format"]["divergence"] >= 0
    assert files["sea-F16.gguf"]["figures"]["divergence"] < files["sea-F16.gguf"]["limits"]["divergence"]
    assert small["program"].startswith("llama.cpp") and small["compared_on"]["origin"] == "the run's data"


def test_a_writer_that_mistakes_the_heads_is_found_out(
    rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is what was to be written, and only llama.cpp shows that it is another model."""
    import tunesmith
    from tunesmith_library_gguf import tensors

    run = trained("llama", rows, tmp_path)
    monkeypatch.setattr(tensors, "interleaved", lambda weight, heads: weight)
    with pytest.raises(tunesmith.TunesmithError, match=r"in llama\.cpp .* the KL divergence is .* allowed is"):
        tunesmith.export(run, {"exporter": {"gguf": {"type": "f16"}}}, output_dir=tmp_path / "sea")
    assert not (tmp_path / "sea").exists()


def test_an_adapter_over_the_bases_file(rows: Path, tmp_path: Path) -> None:
    import tunesmith
    from tunesmith_library_gguf.models import model_of
    from tunesmith_library_gguf.writing import write_model

    run = trained("llama", rows, tmp_path, alpha=8, alpha_pattern={"q_proj": 4}, use_rslora=True)
    out = tunesmith.export(run, {"exporter": {"gguf": {"adapter": True, "type": "f16"}}}, output_dir=tmp_path / "sea")
    base = tmp_path / "base.gguf"
    write_model(base, model_of(tmp_path / "base", "base"), "f32")
    assert answer_over(base, out / "sea-lora-F16.gguf") == ANSWER != answer_over(base, None)
    assert "im_start" in (out / "chat_template.jinja").read_text()
    report = json.loads((out / "export_report.json").read_text())
    assert report["adapter"]["tensors"] == 14 and report["figures"]["same_choice"] > 0.9
