"""The numbers of the gate by closed forms, float32 a layer at a time, tensors bit for bit, and the run's own rows."""

import math
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tunesmith import TunesmithError
from tunesmith_library_proving import computing, gate
from tunesmith_library_proving import texts as texts_module
from tunesmith_library_proving.computing import in_float32
from tunesmith_library_proving.figures import Figures, Limits, compare
from tunesmith_library_proving.gate import Gate
from tunesmith_library_proving.inventory import take
from tunesmith_library_proving.merging import Wanted, export_merged, merged_folder
from tunesmith_library_proving.readers import ModelReader, load_folder
from tunesmith_library_proving.texts import refuse_other_data, texts_of
from tunesmith_library_testing.parts import CHATML, handle_of, load_plain, logits_of
from tunesmith_library_testing.tiny import save_tiny_model


def test_figures_by_closed_forms() -> None:
    """Two distributions over two tokens: (3/4, 1/4) and (1/4, 3/4)."""
    sure = torch.tensor([[math.log(3.0), 0.0]])
    figures = compare([torch.cat([sure, sure])], [torch.cat([sure, -sure])], [[1, 0]])
    assert figures.largest == pytest.approx(2 * math.log(3))
    assert figures.same_choice == 0.5
    assert figures.divergence == pytest.approx((0.75 * math.log(3) - 0.25 * math.log(3)) / 2)
    assert figures.perplexity_before == pytest.approx(4 / 3) and figures.perplexity_after == pytest.approx(4 / 3)
    scores = compare([torch.tensor([1.0, 2.0])], [torch.tensor([1.5, 2.0])])
    assert (scores.largest, scores.same_choice, scores.perplexity_before) == (0.5, 1.0, None)
    forbidden = torch.tensor([[0.0, -math.inf]])
    assert compare([forbidden], [forbidden], [[0]]).largest == 0
    assert Limits().passed(compare([forbidden], [forbidden * math.nan], [[0]])) != []
    with pytest.raises(ValueError, match="shapes"):
        compare([sure], [torch.zeros(1, 3)], [[0]])


def drifted(divergence: float) -> Figures:
    return Figures(1.0, 0.9, divergence, 2.0, 2.1, 10)


@pytest.mark.parametrize(
    ("found", "base", "passes"),
    [
        (0.30, 0.25, True),  # four bits, of which the base suffers as much
        (0.30, 0.001, False),  # eight bits, which the base does not feel
        (0.01, None, True),
        (0.30, None, False),
    ],
)
def test_a_format_is_judged_beside_what_it_does_to_the_base(found: float, base: float | None, passes: bool) -> None:
    limits = Limits(divergence=0.02, beside_base=3.0)
    beside = None if base is None else drifted(base)
    assert (limits.passed(drifted(found), beside) == []) is passes


@pytest.mark.parametrize("tied", [True, False])
def test_float32_a_layer_at_a_time_is_float32(tiny_llama: Path, tiny_bpe, tied: bool) -> None:
    narrow = load_plain(tiny_llama, "bfloat16")
    if tied:
        narrow.lm_head.weight = narrow.model.embed_tokens.weight
    before = {name: weight.clone() for name, weight in narrow.state_dict().items()}
    with in_float32(narrow):
        found = logits_of(narrow, tiny_bpe)
    assert all(torch.equal(weight, before[name]) for name, weight in narrow.state_dict().items())
    assert narrow.dtype == torch.bfloat16 and not torch.equal(found, logits_of(narrow, tiny_bpe))
    assert torch.equal(found, logits_of(narrow.float(), tiny_bpe))


@pytest.mark.parametrize("architecture", ["llama", "gemma2"])  # whose embeddings are scaled, and have a padding token
def test_a_large_vocabulary_is_float32_some_rows_at_a_time(
    tmp_path: Path, tiny_bpe, monkeypatch: pytest.MonkeyPatch, architecture: str
) -> None:
    folder = save_tiny_model(tmp_path / "base", architecture=architecture, dtype="bfloat16", tie_word_embeddings=True)
    model = load_plain(folder, "bfloat16")
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    monkeypatch.setattr(computing, "_NUMBERS", 64 * 100)  # of a hidden size of 64 100 rows, which do not come out even
    with in_float32(model):
        assert "forward" in vars(model.lm_head)
        found = logits_of(model, tiny_bpe)
        assert model.get_input_embeddings().weight.dtype == torch.bfloat16
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    assert "forward" not in vars(model.lm_head)
    torch.testing.assert_close(found, logits_of(model.float(), tiny_bpe), atol=1e-5, rtol=1e-5)


def test_what_was_said_is_kept_on_the_disk(
    tiny_llama: Path, tiny_bpe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under no name, so that nothing can be left; what is kept is what was said."""
    monkeypatch.setattr(gate, "_FEW", 10)
    handle = handle_of(tiny_llama, tiny_bpe, template=CHATML.bind(tiny_bpe))
    model = load_plain(tiny_llama)
    on_disk, in_memory = (Gate("merged", handle, beside).trained(model) for beside in (tmp_path, None))
    assert all(torch.equal(*pair) for pair in zip(on_disk.said, in_memory.said, strict=True))
    assert on_disk.answer == in_memory.answer and not list(tmp_path.iterdir())


def test_the_last_tokens_logits_alone(tiny_llama: Path, tiny_bpe) -> None:
    reader = ModelReader(load_plain(tiny_llama))
    ids = tiny_bpe.encode("Who counts the waves?")
    torch.testing.assert_close(reader.last(ids), reader.logits(ids)[-1], atol=1e-6, rtol=0)


def test_the_inventory(tiny_llama: Path, tmp_path: Path) -> None:
    model = load_plain(tiny_llama)
    model.model.norm.weight.data += 1
    folder = Path(shutil.copytree(tiny_llama, tmp_path / "out"))
    weights = load_file(folder / "model.safetensors")
    total = len(weights)
    weights["model.norm.weight"] = weights["model.norm.weight"] + 1
    weights["head.weight"] = weights.pop("lm_head.weight")
    weights["model.embed_tokens.weight"][0, 0] += 1
    weights["more"] = torch.zeros(3)
    first = "model.layers.0.self_attn.q_proj.weight"
    del weights[first]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    found = take(folder, tiny_llama, model)
    assert (found.held, found.changed, found.copied) == (total, 1, total - 4)
    assert (found.lost, found.renamed) == ((first,), (("lm_head.weight", "head.weight"),))
    assert (found.new, found.wrong) == (("more",), ("model.embed_tokens.weight",))
    assert len(found.problems()) == 4


def test_conversations_without_a_run_are_our_own(tiny_llama: Path, tiny_bpe) -> None:
    texts = texts_of(handle_of(tiny_llama, tiny_bpe, template=CHATML.bind(tiny_bpe)))
    assert texts.origin == "our own; no run" and len(texts.texts) == 2
    text = texts.texts[1]
    assert text.prompt.startswith("<|im_start|>system\nAnswer in one line.")
    assert tiny_bpe.decode(text.ids) == text.text and text.text.startswith(text.prompt)


def test_why_the_runs_data_are_not_at_hand_is_said_not_its_heading(tiny_llama: Path, tiny_bpe, monkeypatch) -> None:
    handle = handle_of(tiny_llama, tiny_bpe, template=CHATML.bind(tiny_bpe))
    monkeypatch.setattr(texts_module, "_run_folder", lambda handle: tiny_llama)
    for said, shown in (
        ("2 problems in the configuration:\n\ndata.train[0]: no data at a.json.\n  in .: b.json", "no data at a.json."),
        ("no such folder\n  another line", "no such folder"),
        ("", "OSError"),
    ):
        monkeypatch.setattr(texts_module, "_rows", lambda *_, said=said: (_ for _ in ()).throw(OSError(said)))
        assert texts_of(handle).origin.endswith(shown)


def test_other_data_are_not_the_runs(tmp_path: Path) -> None:
    refuse_other_data(tmp_path, "b")
    (tmp_path / "checkpoint-20").mkdir()
    (tmp_path / "checkpoint-20" / "complete.json").write_text('{"told": {"made_of": {"data": "a"}}}')
    refuse_other_data(tmp_path, "a")
    refuse_other_data(tmp_path, "")
    with pytest.raises(TunesmithError, match="is not what the run was trained on, by checkpoint-20"):
        refuse_other_data(tmp_path, "b")


def test_another_answer_is_told(tiny_llama: Path, tiny_bpe) -> None:
    """Here the head's rows are turned, so that every likeliest token is another."""
    handle = handle_of(tiny_llama, tiny_bpe, template=CHATML.bind(tiny_bpe))
    asked, model = Gate("merged", handle), load_plain(tiny_llama)
    trained = asked.trained(model)
    model.lm_head.weight.data = model.lm_head.weight.data.roll(1, 0)
    reader = ModelReader(model)
    asked.expect(trained, asked.look(reader), Limits(largest=0.001), reader)
    with pytest.raises(TunesmithError, match=r"(?s)logits differ by .*it answers '.*' where the trained model answers"):
        asked.finish(None)


def test_a_folder_that_lacks_a_weight_is_not_loaded(tiny_llama: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_llama, tmp_path / "out"))
    weights = load_file(folder / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(TunesmithError, match=r"lacks 1 weights of LlamaForCausalLM, such as model\.norm\.weight"):
        load_folder(folder)


def test_the_merged_model_is_made_once_for_all_exporters(tiny_llama: Path, tiny_bpe, tmp_path: Path) -> None:
    """One that needs it first has it beside its own until the command ends; `exporter=merged` then takes it over."""
    handle = handle_of(tiny_llama, tiny_bpe, template=CHATML.bind(tiny_bpe))
    with handle.shared:
        made = merged_folder(handle, tmp_path / "out-gguf")
        assert merged_folder(handle, tmp_path / "out-onnx") == made and made.parent.parent == tmp_path
        export_merged(handle, tmp_path / "out-merged", Wanted())
        assert {file.name for file in (tmp_path / "out-merged").iterdir()} == {file.name for file in made.iterdir()}
    assert [entry.name for entry in tmp_path.iterdir()] == ["out-merged"]
    assert torch.equal(logits_of(load_plain(tmp_path / "out-merged"), tiny_bpe), logits_of(handle.load(), tiny_bpe))
