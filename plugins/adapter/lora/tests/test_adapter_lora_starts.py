"""Where LoRA starts and what it starts from: computed starts, other adapters, single layers' ranks, new tokens."""

import dataclasses
import json
import logging
import warnings
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import AutoTokenizer
from tunesmith import TunesmithError
from tunesmith.types import DatasetSplits, Requirement, TrainingJob
from tunesmith_adapter_lora import Lora
from tunesmith_adapter_lora.starting import give_back, read_start
from tunesmith_library_testing.parts import StubPlan, collate, examples, load_plain, logits_of, source_of, train
from tunesmith_library_testing.tiny import save_tiny_model


def adapt(folder: Path, trained: Path | None = None, *, training: bool = True, dtype: str = "float32", **options):
    torch.manual_seed(0)
    return Lora(**options).apply_adapter(load_plain(folder, dtype), trained, source_of(folder, training=training))


def difference(one, other, tokenizer) -> float:
    return (logits_of(one, tokenizer) - logits_of(other, tokenizer)).abs().max().item()


def job_of(model, tokenizer, folder: Path) -> TrainingJob:
    return TrainingJob(
        model=model,
        processor=tokenizer,
        data=DatasetSplits(examples(tokenizer) * 5),
        output_dir=folder,
        seed=0,
        precision="fp32",
        resume=False,
        collate=collate,
        compute_loss=lambda model, batch: None,
        build_optimizer=lambda model, settings: None,
        emit=lambda event: None,
    )


def finish(lora: Lora, job: TrainingJob) -> None:
    """The end of `fit`, as the kernel calls it."""
    around = lora.fit(job=job)
    next(around)
    with pytest.raises(StopIteration) as stop:
        around.send(True)
    assert stop.value.value is True


# ---- starts that change the base ------------------------------------------------------------------------------------

VARIANTS = [
    {"init": "pissa"},
    {"init": "pissa", "pissa_iterations": 4},
    {"init": "olora", "use_rslora": True, "rank": 4},
    {"init": "pissa", "use_dora": True, "alpha": 3},
    {"init": "pissa", "rank_pattern": {"q_proj": 4, "layers.1.mlp": 2}, "alpha_pattern": {"up_proj": 9}},
    {"init": "pissa", "rank": 40},  # more than the 32 outputs of k_proj and v_proj
]


@pytest.mark.parametrize("options", VARIANTS, ids=lambda options: "-".join(map(str, options.values())))
def test_the_result_is_a_plain_lora_of_the_untouched_base(tiny_llama: Path, tiny_bpe, tmp_path: Path, options) -> None:
    """peft alone loads it, and what its base was before is not changed."""
    lora = Lora(**options)
    model = lora.apply_adapter(load_plain(tiny_llama), None, source_of(tiny_llama))
    assert difference(model, load_plain(tiny_llama), tiny_bpe) < 1e-4
    losses = train(model, collate(examples(tiny_bpe)))
    assert losses[-1] < 0.95 * losses[0]
    model.save_pretrained(tmp_path)
    finish(lora, job_of(model, tiny_bpe, tmp_path))
    assert json.loads((tmp_path / "adapter_config.json").read_text())["init_lora_weights"] is True
    base = load_plain(tiny_llama)
    before = {name: weight.clone() for name, weight in base.state_dict().items()}
    theirs = PeftModel.from_pretrained(base, tmp_path)
    with theirs.disable_adapter():
        assert difference(theirs, load_plain(tiny_llama), tiny_bpe) == 0
    loaded = theirs.state_dict()
    for name, weight in before.items():
        kept = [
            value
            for key, value in loaded.items()
            if key.endswith((name, name.replace(".weight", ".base_layer.weight")))
        ]
        assert any(torch.equal(value, weight) for value in kept), name
    assert difference(model, theirs, tiny_bpe) < 1e-4
    assert difference(model, Lora().merge_adapter(theirs), tiny_bpe) < 1e-4


def test_given_back_as_peft_does_it(tiny_llama: Path, tiny_bpe, tmp_path: Path) -> None:
    """The independent reference: peft's own conversion, which wants the start saved in a folder."""
    model = get_peft_model(
        load_plain(tiny_llama),
        LoraConfig(r=4, lora_alpha=6, init_lora_weights="pissa", target_modules="all-linear", task_type="CAUSAL_LM"),
    )
    model.peft_config["default"].init_lora_weights = True
    model.save_pretrained(tmp_path / "start")
    start = read_start(model)
    train(model, collate(examples(tiny_bpe)), steps=5)
    model.peft_config["default"].init_lora_weights = "pissa"
    model.save_pretrained(tmp_path / "ours")
    give_back(tmp_path / "ours", start)
    model.save_pretrained(tmp_path / "theirs", path_initial_model_for_weight_conversion=str(tmp_path / "start"))
    both = [PeftModel.from_pretrained(load_plain(tiny_llama), tmp_path / name) for name in ("ours", "theirs")]
    layers = [model.get_submodule("base_model.model.model.layers.1.mlp.up_proj") for model in both]
    torch.testing.assert_close(*(layer.get_delta_weight("default") for layer in layers), atol=1e-6, rtol=1e-5)
    assert difference(*both, tiny_bpe) < 1e-5


def test_an_unfinished_run_is_left_as_it_is(tiny_llama: Path, tiny_bpe, tmp_path: Path) -> None:
    """What a resumed run continues from must have the rank that was trained."""
    lora = Lora(init="pissa")
    model = lora.apply_adapter(load_plain(tiny_llama), None, source_of(tiny_llama))
    model.save_pretrained(tmp_path)
    before = (tmp_path / "adapter_model.safetensors").read_bytes()
    around = lora.fit(job=job_of(model, tiny_bpe, tmp_path))
    next(around)
    with pytest.raises(StopIteration):
        around.send(False)
    assert (tmp_path / "adapter_model.safetensors").read_bytes() == before


# ---- a start from the data ------------------------------------------------------------------------------------------


def test_eva_starts_with_the_directions_of_the_inputs(tiny_llama: Path, tiny_bpe, tmp_path: Path) -> None:
    """The reference: the SVD of all inputs of a layer at trained positions, at once and in float64."""
    lora = Lora(init="eva", rank=4, target_modules=["layers.1.mlp.down_proj", "q_proj"])
    model = lora.apply_adapter(load_plain(tiny_llama), None, source_of(tiny_llama))
    job = job_of(model, tiny_bpe, tmp_path)
    lora.prepare(job=job)
    assert difference(model, load_plain(tiny_llama), tiny_bpe) == 0
    batch, seen = collate(examples(tiny_bpe)), []
    plain = load_plain(tiny_llama)
    plain.model.layers[1].mlp.down_proj.register_forward_hook(lambda module, given, out: seen.append(given[0]))
    with torch.no_grad():
        plain(batch["input_ids"], attention_mask=batch["attention_mask"])
    inputs = seen[0][batch["labels"] != -100].double()
    _, _, directions = torch.linalg.svd(inputs - inputs.mean(0), full_matrices=False)
    a = model.get_submodule("base_model.model.model.layers.1.mlp.down_proj").lora_A["default"].weight.double()
    cosines = torch.linalg.svdvals(torch.nn.functional.normalize(a, dim=1) @ directions[:4].T)
    assert a.shape == (4, 128) and cosines[:3].min() > 0.9, cosines
    assert {weight.dtype for weight in model.parameters() if weight.requires_grad} == {torch.float32}
    losses = train(model, collate(examples(tiny_bpe)))
    assert losses[-1] < 0.95 * losses[0]
    model.save_pretrained(tmp_path)
    again = adapt(tiny_llama, tmp_path, training=False)
    assert difference(model, again, tiny_bpe) == 0


def test_eva_names_layers_that_see_no_data(tiny_llama: Path, tiny_bpe, tmp_path: Path) -> None:
    """Such as those of a vision tower, where the data are text."""
    plain = load_plain(tiny_llama)
    plain.visual = torch.nn.ModuleDict({"proj": torch.nn.Linear(8, 8)})
    lora = Lora(init="eva", rank=4, target_modules=["q_proj", "visual.proj"])
    model = lora.apply_adapter(plain, None, source_of(tiny_llama))
    told = r"goes through 1 of the 3 adapted layers, such as visual\.proj\.\n.*adapter\.exclude_modules=\[visual\]"
    with pytest.raises(TunesmithError, match=told):
        lora.prepare(job=job_of(model, tiny_bpe, tmp_path))


# ---- other adapters -------------------------------------------------------------------------------------------------


def saved_adapter(folder: Path, tiny_model: Path, tokenizer, seed: int, **options) -> Path:
    torch.manual_seed(seed)
    model = Lora(init=False, **options).apply_adapter(load_plain(tiny_model), None, source_of(tiny_model))
    model.save_pretrained(folder)
    return folder


def delta(model, name: str) -> torch.Tensor:
    return model.get_submodule(f"base_model.model.{name}").get_delta_weight("default")


def test_adapters_are_stacked(tiny_llama: Path, tiny_bpe, tmp_path: Path, caplog) -> None:
    """All but the last are part of the base: W + d1 + d2 + d3, in training and where the run is served."""
    caplog.set_level(logging.INFO, "tunesmith")
    paths = [str(saved_adapter(tmp_path / str(seed), tiny_llama, tiny_bpe, seed, rank=2 + seed)) for seed in range(3)]
    layer = "model.layers.0.self_attn.q_proj"
    expected = load_plain(tiny_llama).get_submodule(layer).weight.clone()
    for path in paths:
        expected += delta(PeftModel.from_pretrained(load_plain(tiny_llama), path), layer)
    model = adapt(tiny_llama, path=paths)
    assert model.peft_config["default"].r == 4
    base = model.get_submodule(f"base_model.model.{layer}").base_layer.weight
    torch.testing.assert_close(base + delta(model, layer), expected, atol=1e-6, rtol=1e-5)
    assert caplog.text.count("is merged into the base") == 2
    losses = train(model, collate(examples(tiny_bpe)))
    assert losses[-1] < losses[0]
    model.save_pretrained(tmp_path / "run")
    served = adapt(tiny_llama, tmp_path / "run", training=False, path=paths)
    assert difference(model, served, tiny_bpe) < 1e-5
    assert difference(model, Lora().merge_adapter(served), tiny_bpe) < 1e-4


def test_restarting_trains_a_fresh_adapter(tiny_llama: Path, tiny_bpe, tmp_path: Path) -> None:
    path = str(saved_adapter(tmp_path / "first", tiny_llama, tiny_bpe, 1, rank=2))
    first = PeftModel.from_pretrained(load_plain(tiny_llama), path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # peft warns when an adapter is put over one that is still there
        model = adapt(tiny_llama, path=path, restart=True, rank=6, target_modules=["v_proj"])
    assert model.peft_config["default"].r == 6
    assert difference(model, first, tiny_bpe) < 1e-5
    train(model, collate(examples(tiny_bpe)), steps=5)
    model.save_pretrained(tmp_path / "run")
    served = adapt(tiny_llama, tmp_path / "run", training=False, path=path, restart=True)
    assert difference(model, served, tiny_bpe) < 1e-5


def test_the_hub_of_an_address_gives_the_adapter(tiny_llama: Path, tiny_bpe, tmp_path: Path) -> None:
    folder = saved_adapter(tmp_path / "there", tiny_llama, tiny_bpe, 1)
    asked = []

    def fetch(address: str, revision: str | None = None) -> Path:
        asked.append(address)
        return folder

    lora = Lora(path="org/adapter")
    assert lora.requires() == [Requirement("hub", "org/adapter", "adapter.path")]
    source = dataclasses.replace(source_of(tiny_llama), fetch=fetch)
    model = lora.apply_adapter(load_plain(tiny_llama), None, source)
    assert asked == ["org/adapter"]
    assert difference(model, PeftModel.from_pretrained(load_plain(tiny_llama), folder), tiny_bpe) < 1e-5


def test_only_merged_adapters_are_needed_after_training() -> None:
    lora = Lora(path=["no/such/one", "no/such/two"])
    for command, count in (("train", 2), ("chat", 1), ("export", 1)):
        problems = lora.check(StubPlan({"adapter": {"lora": lora}}, command))
        assert len(problems) == count and all("holds no adapter" in problem.message for problem in problems)


# ---- single layers --------------------------------------------------------------------------------------------------


def test_ranks_and_scales_of_single_layers(tiny_llama: Path) -> None:
    """The last pattern that fits counts; alpha follows the rank until it is given."""
    patterns = {"mlp": 2, "layers.1.mlp.up_proj": 3, "gate_proj": 5}
    alphas = {"layers.1.mlp.down_proj": 7, "k_proj": 6, "layers.0.mlp.gate_proj": 1}
    model = adapt(tiny_llama, rank=4, rank_pattern=patterns, alpha_pattern=alphas)
    found = {
        name.removeprefix("base_model.model.model."): (module.r["default"], module.lora_alpha["default"])
        for name, module in model.named_modules()
        if hasattr(module, "lora_alpha")
    }
    assert found["layers.0.mlp.up_proj"] == (2, 4) and found["layers.1.mlp.up_proj"] == (3, 6)
    assert found["layers.0.mlp.gate_proj"] == (5, 1) and found["layers.1.mlp.gate_proj"] == (5, 10)
    assert found["layers.1.mlp.down_proj"] == (2, 7) and found["layers.0.mlp.down_proj"] == (2, 4)
    assert found["layers.0.self_attn.q_proj"] == (4, 8) and found["layers.0.self_attn.k_proj"] == (4, 6)


def test_patterns_that_fit_no_adapted_layer(tiny_llama: Path) -> None:
    with pytest.raises(TunesmithError, match=r"(?s)adapter\.rank_pattern=up_porj.*did you mean up_proj\?"):
        adapt(tiny_llama, rank_pattern={"up_porj": 2})
    with pytest.raises(TunesmithError, match=r"adapter\.alpha_pattern=mlp: fits no adapted layer"):
        adapt(tiny_llama, target_modules=["self_attn"], alpha_pattern={"mlp": 2})


# ---- new tokens -----------------------------------------------------------------------------------------------------


def with_tokens(lora: Lora, tokenizer) -> None:
    around = lora.load_processor(source=None)
    next(around)
    with pytest.raises(StopIteration) as stop:
        around.send(tokenizer)
    assert stop.value.value is tokenizer


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_new_tokens_are_trained_alone(tmp_path: Path, tied: bool, dtype: str) -> None:
    """Only their rows change; the adapter is small, and is loaded and merged with them."""
    folder = save_tiny_model(tmp_path / "base", architecture="qwen2", tie_word_embeddings=tied)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    lora = Lora(train_tokens=["<wave>", "<|im_end|>"], rank=2)
    before = len(tokenizer)
    with_tokens(lora, tokenizer)
    assert len(tokenizer) == before + 1 and tokenizer.tokenize("a<wave>b")[1] == "<wave>"

    def base():
        torch.manual_seed(0)
        model = load_plain(folder, dtype)
        model.resize_token_embeddings(len(tokenizer))
        return model

    model = lora.apply_adapter(base(), None, source_of(folder)).train()
    assert {weight.dtype for weight in model.parameters() if weight.requires_grad} == {torch.float32}
    ids = tokenizer("Who<wave> counts<|im_end|>", return_tensors="pt")["input_ids"]
    batch = {"input_ids": ids, "labels": ids, "num_items": float(ids.shape[1] - 1)}
    if dtype == "bfloat16":
        with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
            losses = train(model, batch)
    else:
        losses = train(model, batch)
    assert losses[-1] < 0.9 * losses[0]
    model.save_pretrained(tmp_path / "adapter")
    served = lora.apply_adapter(base(), tmp_path / "adapter", source_of(folder, training=False))
    tolerance = 1e-5 if dtype == "float32" else 0.1
    assert difference(model, served, tokenizer) < tolerance
    expected = logits_of(served, tokenizer)
    merged = Lora().merge_adapter(served)
    torch.testing.assert_close(logits_of(merged, tokenizer), expected, atol=10 * tolerance, rtol=0)
    rows = merged.get_input_embeddings().weight
    changed = (rows != base().get_input_embeddings().weight).any(dim=1).nonzero().flatten().tolist()
    assert changed == sorted(tokenizer.convert_tokens_to_ids(["<wave>", "<|im_end|>"]))
    assert (merged.lm_head.weight is rows) == tied


def test_tokens_that_are_there_stay_what_they_are(tiny_llama: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A control token that something else added is not shown in texts, trained or not."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    tokenizer.add_tokens(["<|sea|>"], special_tokens=True)
    with caplog.at_level("INFO", "tunesmith"):
        with_tokens(Lora(train_tokens=["<|sea|>", "<wave>"]), tokenizer)
    assert "trained tokens: 2, 1 of them new" in caplog.text
    ids = tokenizer("a<|sea|><wave>")["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "a<wave>"


def test_tokens_need_the_tokenizer(tiny_llama: Path) -> None:
    with pytest.raises(TunesmithError, match="needs the tokenizer"):
        adapt(tiny_llama, train_tokens=["<wave>"])


def test_the_adapter_with_tokens_is_small(tmp_path: Path, tiny_llama: Path, tiny_bpe) -> None:
    """Tokens that the base has already need their rows only; peft would save both matrices whole for new ones."""
    lora = Lora(train_tokens=["<|im_end|>"], rank=2)
    with_tokens(lora, AutoTokenizer.from_pretrained(tiny_llama))
    lora.apply_adapter(load_plain(tiny_llama), None, source_of(tiny_llama)).save_pretrained(tmp_path)
    shapes = {name: tuple(value.shape) for name, value in load_file(tmp_path / "adapter_model.safetensors").items()}
    assert max(shape[0] for shape in shapes.values()) <= 128, shapes


def test_nothing_is_warned_of_that_users_cannot_change(tiny_llama: Path, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        adapt(tiny_llama).save_pretrained(tmp_path)
        adapt(tiny_llama, tmp_path)


# ---- the whole road -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_pissa_run_over_another_adapter(tiny_llama: Path, tiny_bpe, tmp_path: Path) -> None:
    import tunesmith

    pytest.importorskip("tunesmith_trainer_transformers")
    first = saved_adapter(tmp_path / "first", tiny_llama, tiny_bpe, 1, rank=2)
    rows = [{"instruction": "Who are you?", "output": "A tiny model.<wave>"}] * 4
    (tmp_path / "train.json").write_text(json.dumps(rows))
    run = tunesmith.train(
        {
            "model": {"path": str(tiny_llama)},
            "template": "chatml",
            "data": {"train": [str(tmp_path / "train.json")], "cache_dir": str(tmp_path / "cache")},
            "adapter": {"name": "lora", "init": "pissa", "rank": 16, "path": str(first), "restart": True}
            | {"train_tokens": ["<wave>"]},
            "precision": "fp32",
            "output_dir": str(tmp_path / "run"),
            "trainer": {"max_steps": 60, "learning_rate": 1e-2, "save_strategy": "no"},
        }
    )
    config = json.loads((run / "adapter_config.json").read_text())
    assert (config["r"], config["init_lora_weights"]) == (32, True)
    conversations = [[{"role": "user", "content": "Who are you?"}]]
    here = tunesmith.chat(run, conversations, ["engine.temperature=0"])
    assert "<wave>" in here[0]
    merged = tunesmith.export(run, output_dir=tmp_path / "merged")
    there = {"model.path": str(merged), "engine.temperature": 0, "precision": "fp32"}
    assert tunesmith.chat(None, conversations, there) == here


@pytest.mark.slow
@pytest.mark.parametrize("init", ["pissa", "eva"])
def test_a_resumed_run_ends_as_an_uninterrupted_one(tiny_llama: Path, tiny_bpe, tmp_path: Path, init: str) -> None:
    """The checkpoint has the rank that is trained; what was taken out of the base is given back once, at the end."""
    import tunesmith

    pytest.importorskip("tunesmith_trainer_transformers")
    rows = [{"instruction": "Who are you?", "output": "A tiny model."}] * 4
    (tmp_path / "train.json").write_text(json.dumps(rows))
    config = {
        "model": {"path": str(tiny_llama)},
        "template": "chatml",
        "data": {"train": [str(tmp_path / "train.json")], "cache_dir": str(tmp_path / "cache")},
        "adapter": {"name": "lora", "init": init, "rank": 4},
        "precision": "fp32",
        "output_dir": str(tmp_path / "run"),
        "trainer": {"max_steps": 3, "learning_rate": 1e-2, "save_steps": 2},
    }
    run = tunesmith.train(config)
    first = PeftModel.from_pretrained(load_plain(tiny_llama), run)
    assert first.peft_config["default"].r == (8 if init == "pissa" else 4)
    (run / "adapter_model.safetensors").unlink()
    tunesmith.train(config, {"resume": True})
    again = PeftModel.from_pretrained(load_plain(tiny_llama), run)
    assert difference(first, load_plain(tiny_llama), tiny_bpe) > 1e-2
    assert difference(first, again, tiny_bpe) < 1e-5
