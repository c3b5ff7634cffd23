"""Graphs for onnxruntime: what the builder knows, what it is told, and what comes of it where it is installed."""

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from tunesmith import TunesmithError
from tunesmith_exporter_onnx import Onnx, building, knowing, writing
from tunesmith_library_testing import ExporterSuite, damage
from tunesmith_library_testing.parts import CHATML, StubPlan, handle_of
from tunesmith_library_testing.suites.plugin import PluginSuite
from tunesmith_library_testing.tiny import save_tiny_mixture, save_tiny_model

BUILDER = """
def create_model(config):
    if config.architectures[0] == "LlamaForCausalLM" or config.architectures[0] == "OlderLlama":
        return 1
    elif config.architectures[0] == "Phi3ForCausalLM" and config.size == 1 and "NotAnArchitecture" == config.name:
        return 2
"""


class TestOnnx(PluginSuite):
    kind = "exporter"
    plugin = Onnx


def plan_of(folder: Path, command: str = "train", stage: Any = None, **options: Any) -> StubPlan:
    plugins = {"exporter": {"onnx": Onnx(**options)}, **({"stage": {"mine": stage}} if stage else {})}
    return StubPlan(plugins, command, {"model.path": str(folder)})


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> frozenset[str]:
    """The table of a builder that knows three architectures."""
    (tmp_path / "builder.py").write_text(BUILDER)
    monkeypatch.setattr(knowing, "builder_folder", lambda: tmp_path)
    monkeypatch.setattr(knowing, "architectures", knowing.architectures.__wrapped__)
    return knowing.architectures()


def test_the_builders_own_table_is_read(known: frozenset[str]) -> None:
    assert known == {"LlamaForCausalLM", "OlderLlama", "Phi3ForCausalLM"}


def test_an_architecture_that_it_does_not_know_is_a_problem_before_training(
    known: frozenset[str], tmp_path: Path, tiny_llama: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalM"]}))
    (problem,) = Onnx().check(plan_of(tmp_path))
    assert "knows no LlamaForCausalM" in problem.message
    assert "LlamaForCausalLM, OlderLlama, Phi3ForCausalLM (the nearest: LlamaForCausalLM)" in problem.advice
    assert Onnx().check(plan_of(tiny_llama)) == [] == Onnx().check(plan_of(tmp_path / "on-a-hub"))

    class Classifies:
        def load_model(self) -> None: ...

    assert Onnx().check(plan_of(tmp_path, stage=Classifies())) == [], "its graph is none of the builder's"


def test_what_is_missing_is_said(known: frozenset[str], tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knowing.importlib.util, "find_spec", lambda name: None)
    (problem,) = Onnx().check(plan_of(tiny_llama, "export"))
    assert "onnxruntime-genai" in problem.message and problem.advice.startswith("pip install")
    with pytest.raises(TunesmithError, match=r"not installed: onnxruntime-genai(?s:.*)pip install"):
        writing.export_onnx(handle_of(tiny_llama, None), tiny_llama / "out", building.Wanted())


def test_fp16_is_for_a_gpu(known: frozenset[str], tiny_llama: Path) -> None:
    (problem,) = Onnx(precision="fp16", device="cpu").check(plan_of(tiny_llama, precision="fp16", device="cpu"))
    assert problem.key == "exporter.onnx.precision"


class Config:
    """What the builder reads of a model."""

    num_hidden_layers = 2

    def __init__(self, rope: dict[str, Any], **values: Any) -> None:
        self.rope_parameters = rope
        vars(self).update(values)


def test_positions_are_said_in_the_builders_words() -> None:
    gemma = Config({"full_attention": {"rope_theta": 1e6}, "sliding_attention": {"rope_theta": 1e4}})
    building._in_its_words(gemma)
    assert (gemma.rope_parameters, gemma.rope_theta, gemma.rope_local_base_freq) == ({"rope_theta": 1e6}, 1e6, 1e4)
    linear = Config({"rope_type": "linear", "factor": 4.0}, sliding_window=8)
    building._in_its_words(linear)
    assert (linear.rope_parameters["rope_type"], linear.rope_position_scale) == ("default", 0.25)
    assert linear.layer_types == ["sliding_attention"] * 2
    plain = Config({"rope_type": "default"}, sliding_window=8, layer_types=["full_attention"] * 2)
    building._in_its_words(plain)
    assert plain.layer_types == ["full_attention"] * 2 and not hasattr(plain, "rope_position_scale")


# ---- with the programs ----------------------------------------------------------------------------------------------


def other_number(folder: Path) -> None:
    """One value of a matrix of the graph is 4."""
    import numpy
    import onnx

    graph = onnx.load(str(folder / "model.onnx"), load_external_data=False).graph
    (stored, *_) = (each for each in graph.initializer if "down_proj" in each.name)
    place = {entry.key: entry.value for entry in stored.external_data}
    with (folder / place["location"]).open("r+b") as file:
        file.seek(int(place["offset"]) + int(place["length"]) // 2)
        file.write(numpy.float32(4).tobytes())


@pytest.mark.slow
class TestOnnxFolder(ExporterSuite):
    plugin = Onnx
    for_transformers: ClassVar[bool] = False
    damages: ClassVar[dict[str, damage.Damage]] = {
        "a number of the graph": damage.Damage(other_number, r"logits differ by"),
        "a special token": damage.Damage(
            damage.other_values("tokenizer_config.json", eos_token="<pad>"), r"eos_token is '<pad>'"
        ),
        "a character of the template": damage.Damage(
            damage.other_text("chat_template.jinja", "assistant\\n", "assistant\\t"), r"template writes"
        ),
        "another token": damage.Damage(
            damage.other_text("tokenizer.json", '"<|im_end|>"', '"<|im_ned|>"'), r"token '<\|im_ned\|>' has"
        ),
        "what ends an answer": damage.Damage(
            damage.other_values("generation_config.json", eos_token_id=1), r"'<\|im_end\|>' \(token 4\) ends no"
        ),
    }

    def damaged(self, happen: damage.Break) -> Any:
        return damage.written_by(writing, "build", happen, lambda source, folder, *how: folder)


@pytest.mark.slow
def test_served_without_what_ends_an_answer(tiny_llama: Path, tiny_bpe: Any, tmp_path: Path) -> None:
    def happen(folder: Path) -> None:
        said = json.loads((folder / "genai_config.json").read_text())
        said["model"]["eos_token_id"] = 1
        (folder / "genai_config.json").write_text(json.dumps(said))

    handle = handle_of(tiny_llama, tiny_bpe, template=CHATML.bind(tiny_bpe))
    broken = damage.written_by(writing, "build", happen, lambda source, folder, *how: folder)
    with handle.shared, broken, pytest.raises(TunesmithError, match=r"token 4 ends no answer in genai_config\.json"):
        Onnx().export(handle, tmp_path / "out")
    assert not list(tmp_path.iterdir())


MODELS: dict[str, dict[str, Any]] = {
    "a window in every layer": {"architecture": "mistral", "sliding_window": 16},
    "windows and two ways of turning": {
        "architecture": "gemma3_text",
        "sliding_window": 16,
        "layer_types": ["sliding_attention", "full_attention"],
        "query_pre_attn_scalar": 16,
        "tie_word_embeddings": True,
    },
    "scaled positions": {
        "architecture": "llama",
        "rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0},
        "dtype": "bfloat16",
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("what", MODELS)
def test_it_says_what_transformers_says(what: str, tiny_bpe: Any, tmp_path: Path) -> None:
    """The logits are compared here too, without the gate: in onnxruntime's own session, with an empty cache."""
    import numpy
    import onnxruntime
    from transformers import AutoModelForCausalLM

    base = save_tiny_model(tmp_path / "base", tokenizer=tiny_bpe, **MODELS[what])
    handle = handle_of(base, tiny_bpe, template=CHATML.bind(tiny_bpe))
    written = Onnx().export(handle, tmp_path / "out")
    ids = numpy.arange(5, 69).reshape(1, -1)
    session = onnxruntime.InferenceSession(str(written / "model.onnx"), providers=["CPUExecutionProvider"])
    inputs = {"input_ids": ids, "attention_mask": numpy.ones_like(ids)}
    for each in session.get_inputs():
        if each.name.startswith("past"):
            inputs[each.name] = numpy.zeros((1, 2, 0, 16), dtype=numpy.float32)
    said = session.run(["logits"], {each.name: inputs[each.name] for each in session.get_inputs()})[0]
    model = AutoModelForCausalLM.from_pretrained(base, dtype="float32").eval()
    with torch.no_grad():
        expected = model(input_ids=torch.tensor(ids)).logits
    torch.testing.assert_close(torch.tensor(said), expected, atol=1e-4, rtol=0)


@pytest.mark.slow
def test_what_the_builder_gets_wrong_is_not_written(tiny_bpe: Any, tmp_path: Path) -> None:
    """For Llama it passes over YaRN without a word; what it writes is another model."""
    rope = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512, "rope_theta": 10000.0}
    base = save_tiny_model(tmp_path / "base", tokenizer=tiny_bpe, rope_parameters=rope)
    handle = handle_of(base, tiny_bpe, template=CHATML.bind(tiny_bpe))
    with handle.shared, pytest.raises(TunesmithError, match=r"building the graph changes(?s:.*)rope_type=yarn"):
        Onnx().export(handle, tmp_path / "out")
    assert [entry.name for entry in tmp_path.iterdir()] == ["base"]


@pytest.mark.slow
def test_a_classifier(tiny_bpe: Any, tmp_path: Path) -> None:
    """Of a mixture of experts, which onnxruntime-genai's builder does not know; several texts at once, padded."""
    import numpy
    import onnxruntime
    from transformers import AutoModelForSequenceClassification

    def load() -> Any:
        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1, dtype="float32")
        model.config.pad_token_id = tiny_bpe.pad_token_id
        return model.eval()

    base = save_tiny_mixture(tmp_path / "base", "mixtral", tokenizer=tiny_bpe)
    handle = handle_of(base, tiny_bpe, template=CHATML.bind(tiny_bpe), load=load)
    written = Onnx().export(handle, tmp_path / "out")
    rows = [[5, 6, 7, 8], [9, 10, tiny_bpe.pad_token_id, tiny_bpe.pad_token_id], [11] * 4]
    ids, mask = numpy.array(rows), numpy.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 1]])
    session = onnxruntime.InferenceSession(str(written / "model.onnx"), providers=["CPUExecutionProvider"])
    (said,) = session.run(["logits"], {"input_ids": ids, "attention_mask": mask})
    with torch.no_grad():
        expected = load()(input_ids=torch.tensor(ids), attention_mask=torch.tensor(mask)).logits
    torch.testing.assert_close(torch.tensor(said), expected, atol=1e-5, rtol=0)
    with pytest.raises(TunesmithError, match=r"precision=int4: a model that does not write"):
        Onnx(precision="int4").export(handle, tmp_path / "four")
