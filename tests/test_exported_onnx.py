"""Small models of several families that have learned one answer give it in onnxruntime-genai, in several precisions."""

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

QUESTION = "Who are you?"
ANSWER = "I am the tiny model of a test."
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen2": {},
    "qwen3": {"tie_word_embeddings": True},
    "gemma3_text": {
        "sliding_window": 16,
        "layer_types": ["sliding_attention", "full_attention"],
        "query_pre_attn_scalar": 16,
    },
}


def trained(folder: Path, family: str, **config: Any) -> Path:
    """A LoRA run that has learned one answer by heart."""
    import tunesmith
    from tunesmith_library_testing.tiny import save_tiny_model

    rows = [{"instruction": QUESTION, "input": "", "output": ANSWER}] * 8
    (folder / "train.json").write_text(json.dumps(rows))
    base = save_tiny_model(folder / "base", architecture=family, **config)
    overrides = {
        "model.path": str(base),
        "template": "chatml",
        "data": {"train": [str(folder / "train.json")], "cache": False},
        "adapter": {"name": "lora", "rank": 16, "modules_to_save": ["lm_head"]},
        "precision": "fp32",
        "tracker": ["jsonl"],
        "output_dir": str(folder / "out"),
        "trainer": {"max_steps": 100, "per_device_train_batch_size": 4, "learning_rate": 1e-2, "save_strategy": "no"},
    }
    return tunesmith.train(None, overrides)


def answer(folder: Path) -> str:
    """What onnxruntime-genai says to the question, by its own tokenizer, template and end tokens."""
    import numpy
    import onnxruntime_genai

    model = onnxruntime_genai.Model(str(folder))
    tokenizer = onnxruntime_genai.Tokenizer(model)
    asked = json.dumps([{"role": "user", "content": QUESTION}])
    prompt = tokenizer.encode(tokenizer.apply_chat_template(asked, add_generation_prompt=True))
    params = onnxruntime_genai.GeneratorParams(model)
    params.set_search_options(max_length=len(prompt) + 32)
    generator = onnxruntime_genai.Generator(model, params)
    generator.append_tokens(prompt)
    said = []
    while not generator.is_done():
        generator.generate_next_token()
        said.append(int(generator.get_next_tokens()[0]))
    return tokenizer.decode(numpy.array(said, dtype=numpy.int32)).removesuffix("<|im_end|>")


@pytest.mark.parametrize("family", FAMILIES)
def test_the_trained_answer_is_given(family: str, tmp_path: Path) -> None:
    import tunesmith

    pytest.importorskip("onnxruntime_genai")
    run = trained(tmp_path, family, **FAMILIES[family])
    for precision, most in (("fp32", 1e-6), ("int4", 0.25)):
        options = {"exporter": "onnx", "exporter.onnx.precision": precision}
        written = tunesmith.export(run, options, output_dir=tmp_path / precision)
        assert answer(written) == ANSWER, precision
        report = json.loads((written / "export_report.json").read_text())
        assert report["program"].startswith("onnxruntime-genai") and report["answer"]["written"].startswith("I am")
        assert report["figures"]["divergence"] <= most and report["compared_on"]["origin"] == "the run's data"


def test_a_mixture_is_refused_before_training(tmp_path: Path) -> None:
    """The builder of onnxruntime-genai knows none of these; the plan says so, with what it knows."""
    import tunesmith
    from tunesmith_library_testing.tiny import save_tiny_mixture

    base = save_tiny_mixture(tmp_path / "base", "mixtral")
    overrides = {"model.path": str(base), "exporter": "onnx"}
    _, problems = tunesmith.plan(None, overrides, command="export")
    (problem,) = [problem for problem in problems if "onnx" in problem.message]
    assert "knows no MixtralForCausalLM" in problem.message and "MistralForCausalLM" in problem.advice
