"""Where the rows of new tokens start, which tokens are new, and what is said before a run."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer
from tunesmith import hookimpl
from tunesmith_library_testing import PatchSuite
from tunesmith_library_testing.parts import StubPlan, load_plain, source_of
from tunesmith_library_testing.tiny import save_tiny_model
from tunesmith_patch_new_tokens import NewTokens

TOKENS = {"tokens": ["<wave>"], "special_tokens": ["<|sea|>", "<|end|>"]}
DESCRIPTIONS = {"<wave>": "water that moves", "<|sea|>": "a lot of water, with <wave>"}


class TestNewTokens(PatchSuite):
    plugin = NewTokens


class _Plain:
    """Loading as a model plugin does it: the matrices grow with the tokenizer, and new rows are of any numbers."""

    @hookimpl
    def load_processor(self, source: Any) -> Any:
        return AutoTokenizer.from_pretrained(source.path)

    @hookimpl
    def load_model(self, source: Any, processor: Any) -> Any:
        model = load_plain(source.path)
        if len(processor) > len(model.get_input_embeddings().weight):
            model.resize_token_embeddings(len(processor))
        return model


def loaded(folder: Path, **options: Any) -> tuple[Any, Any]:
    """The tokenizer and the model through the patch."""
    hook = TestNewTokens().manager(_Plain(), **options).hook
    tokenizer = hook.load_processor(source=source_of(folder))
    return tokenizer, hook.load_model(source=source_of(folder), processor=tokenizer, quantization=None)


@pytest.fixture(scope="module")
def untied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("untied"), architecture="llama", tie_word_embeddings=False)


def test_tokens_are_added_once(untied: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tokenizer, model = loaded(untied, **TOKENS)
    model.save_pretrained(tmp_path)
    base = AutoTokenizer.from_pretrained(untied)
    assert len(tokenizer) == len(base) + 3 == len(model.get_input_embeddings().weight)
    with caplog.at_level("INFO", "tunesmith"):
        tokenizer.save_pretrained(tmp_path)
        loaded(tmp_path, **TOKENS)  # a run's folder, whose tokenizer has them
    assert "new tokens: 3, 0 of them new to the tokenizer" in caplog.text
    ids = tokenizer("a<wave><|sea|>")["input_ids"]
    assert tokenizer.decode(ids) == "a<wave><|sea|>"
    assert tokenizer.decode(ids, skip_special_tokens=True) == "a<wave>"
    assert [*base.all_special_tokens, "<|sea|>", "<|end|>"] == tokenizer.all_special_tokens
    assert AutoTokenizer.from_pretrained(tmp_path).all_special_tokens == tokenizer.all_special_tokens


@pytest.mark.parametrize("start", ["mean", "description"])
def test_starts_without_noise(untied: Path, start: str) -> None:
    """In float64, for each matrix from its own rows; the description's own new tokens do not count."""
    tokenizer, model = loaded(untied, **TOKENS, start=start, descriptions=DESCRIPTIONS if start != "mean" else {})
    base, count = load_plain(untied), len(AutoTokenizer.from_pretrained(untied))
    for layer, before in (
        (model.get_input_embeddings(), base.get_input_embeddings()),
        (model.get_output_embeddings(), base.get_output_embeddings()),
    ):
        weight = before.weight.detach().double()
        assert torch.equal(layer.weight[:count], before.weight), "rows of the base stay as they are"
        for token in ("<wave>", "<|sea|>", "<|end|>"):
            expected = weight.mean(0)
            if start == "description" and token in DESCRIPTIONS:
                ids = tokenizer(DESCRIPTIONS[token], add_special_tokens=False)["input_ids"]
                expected = weight[[index for index in ids if index < count]].mean(0)
            row = layer.weight[tokenizer.convert_tokens_to_ids(token)].detach().double()
            torch.testing.assert_close(row, expected, atol=1e-6, rtol=1e-5)
    assert model.get_input_embeddings().weight is not model.get_output_embeddings().weight


@pytest.mark.parametrize("start", ["noise", "description_noise"])
def test_starts_with_noise(tiny_llama: Path, start: str) -> None:
    """Normal around where they would start without, of deviation 1 / √width; the same at every load."""
    many = [f"<new-{number}>" for number in range(300)]
    descriptions = dict.fromkeys(many, "water") if start != "noise" else {}
    options = {"tokens": many, "start": start, "descriptions": descriptions}
    tokenizer, model = loaded(tiny_llama, **options)
    calm = loaded(tiny_llama, **{**options, "start": "description" if descriptions else "mean"})[1]
    ids, weight = tokenizer.convert_tokens_to_ids(many), model.get_input_embeddings().weight
    noise = ((weight - calm.get_input_embeddings().weight)[ids] * math.sqrt(weight.shape[1])).detach()
    count = noise.numel()
    assert abs(noise.mean().item()) < 5 / math.sqrt(count)
    assert abs(noise.std().item() - 1) < 5 / math.sqrt(2 * count)
    assert (noise.abs() < 1).float().mean().item() == pytest.approx(math.erf(1 / math.sqrt(2)), abs=0.02)
    if start == "noise":
        assert torch.equal(weight, loaded(tiny_llama, **options)[1].get_input_embeddings().weight)
    head = model.get_output_embeddings().weight
    assert head is weight or not torch.equal(head[ids], weight[ids])


def test_tied_matrices_stay_one(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "tied", architecture="qwen2", tie_word_embeddings=True)
    tokenizer, model = loaded(folder, **TOKENS, start="noise")
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    row = model.get_input_embeddings().weight[tokenizer.convert_tokens_to_ids("<wave>")]
    mean = load_plain(folder).get_input_embeddings().weight.mean(0)
    assert (row - mean).std().item() == pytest.approx(1 / math.sqrt(len(row)), rel=0.4)


def test_rows_in_reserve_are_started_too(untied: Path, tmp_path: Path) -> None:
    """A matrix with rows for no token does not grow; the mean is that of all other rows."""
    model = load_plain(untied)
    count = len(AutoTokenizer.from_pretrained(untied))
    model.resize_token_embeddings(count + 9, mean_resizing=False)
    model.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(untied).save_pretrained(tmp_path)
    tokenizer, patched = loaded(tmp_path, tokens=["<wave>"])
    weight, place = patched.get_input_embeddings().weight.detach(), tokenizer.convert_tokens_to_ids("<wave>")
    assert (len(weight), place) == (count + 9, count)
    others = torch.cat([weight[:place], weight[place + 1 :]])
    assert torch.equal(others[count:], model.get_input_embeddings().weight[count + 1 :])
    torch.testing.assert_close(weight[place].double(), others.double().mean(0), atol=1e-6, rtol=1e-5)


def test_what_a_trained_model_knows_stays_as_it_is(untied: Path, tmp_path: Path) -> None:
    tokenizer, model = loaded(untied, **TOKENS, start="noise")
    with torch.no_grad():
        model.get_input_embeddings().weight.add_(1.0)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    again = loaded(tmp_path, **TOKENS, start="noise")[1]
    assert torch.equal(again.get_input_embeddings().weight, model.get_input_embeddings().weight)
    (tmp_path / "tokenizer.json").rename(tmp_path / "kept.json")  # as of a model that comes without
    from tunesmith_patch_new_tokens import starting

    def missing(folder: Path) -> Any:
        return tokenizer

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("transformers.AutoTokenizer.from_pretrained", missing)
        assert starting._known(tmp_path, ["<wave>", "<none>"]) == {"<wave>"}


def test_a_description_without_a_token_of_the_base_is_said(untied: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "tunesmith"):
        loaded(untied, **TOKENS, start="description", descriptions={"<wave>": "<wave>", "<|sea|>": "water"})
    assert "rows of new tokens: 3 start at their descriptions, 2 at the mean" in caplog.text
    assert "1 have no token of the base: the mean instead (<wave>)" in caplog.text


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, ["No token is named."]),
        ({"tokens": ["<a>", " "], "special_tokens": ["<a>"]}, ["<a> is named 2 times.", "A token is empty."]),
        (
            {"tokens": ["<wave>"], "start": "description", "descriptions": {"<wvae>": "x"}},
            [
                "<wvae> is described, and is no token that is added.",
                "1 of 1 tokens have no description and start at the mean.",
            ],
        ),
        ({"tokens": ["<a>"], "descriptions": {"<a>": "x"}}, ["Descriptions have no effect with start=mean."]),
        ({"tokens": ["<a>"], "start": "noise"}, []),
    ],
)
def test_check(options: dict[str, Any], told: list[str]) -> None:
    patch = NewTokens(**options)
    assert [problem.message for problem in patch.check(plan=StubPlan({"patch": {"new_tokens": patch}}))] == told


def test_rows_that_nobody_trains_are_said() -> None:
    from tunesmith.traits import AdapterTraits

    class Beside:
        traits = AdapterTraits(beside=True)

    class Whole:
        traits = AdapterTraits(whole=True)

    patch = NewTokens(tokens=["<a>"])

    def told(adapter: Any, command: str = "train", **values: Any) -> int:
        plan = StubPlan({"patch": {"new_tokens": patch}, "adapter": {"mine": adapter}}, command, values)
        return len(list(patch.check(plan=plan)))

    assert (told(Beside()), told(Whole()), told(Beside(), "chat")) == (1, 0, 0)
    assert told(Beside(), **{"adapter.train_tokens": ["<a>"]}) == 0


@pytest.mark.slow
def test_a_run_answers_with_its_new_tokens(tiny_llama: Path, tmp_path: Path) -> None:
    """Trained beside a base that is started anew wherever it is loaded; asked as a run, and merged."""
    import json

    import tunesmith

    pytest.importorskip("tunesmith_trainer_transformers")
    pytest.importorskip("tunesmith_adapter_lora")
    rows = [{"instruction": "Who are you?", "output": "<wave>A tiny model.<wave>"}] * 4
    (tmp_path / "train.json").write_text(json.dumps(rows))
    run = tunesmith.train(
        {
            "model": {"path": str(tiny_llama)},
            "template": "chatml",
            "data": {"train": [str(tmp_path / "train.json")], "cache_dir": str(tmp_path / "cache")},
            "adapter": {"name": "lora", "rank": 16, "train_tokens": ["<wave>"]},
            "patch": {
                "new_tokens": {"tokens": ["<wave>", "<unseen>"], "start": "description"}
                | {"descriptions": {"<wave>": "water", "<unseen>": "nothing"}}
            },
            "precision": "fp32",
            "output_dir": str(tmp_path / "run"),
            "trainer": {"max_steps": 60, "learning_rate": 1e-2, "save_strategy": "no"},
        }
    )
    conversations = [[{"role": "user", "content": "Who are you?"}]]
    here = tunesmith.chat(run, conversations, ["engine.temperature=0"])
    assert "<wave>" in here[0]
    merged = tunesmith.export(run, output_dir=tmp_path / "merged")
    there = {"model.path": str(merged), "engine.temperature": 0, "precision": "fp32"}
    assert tunesmith.chat(None, conversations, there) == here
