"""Mixture of Depths: an explicit loop as the reference, batches of every kind, generation, the loss, and whole runs."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F
from tunesmith import TunesmithError, hookimpl
from tunesmith.errors import ConfigError
from tunesmith.traits import AdapterTraits, EngineTraits, ModelTraits
from tunesmith_library_testing import PatchSuite
from tunesmith_library_testing.parts import (
    StubPlan,
    collate,
    compute_loss,
    examples,
    load_plain,
    records,
    source_of,
    train,
)
from tunesmith_library_testing.tiny import save_tiny_model
from tunesmith_patch_mixture_of_depths import MixtureOfDepths
from tunesmith_patch_mixture_of_depths.layers import routed_layers
from tunesmith_patch_mixture_of_depths.routing import sequence_numbers, top_share

ARCHITECTURES = {"llama": {}, "qwen3": {}, "mistral": {"sliding_window": 16}}


class TestMixtureOfDepths(PatchSuite):
    plugin = MixtureOfDepths
    options = {"capacity": 0.5}
    keeps_function = False


class Base:
    """Plain loading and the plain loss, as other plugins would give them."""

    def __init__(self, attention: str = "sdpa") -> None:
        self.attention = attention

    @hookimpl
    def load_model(self, source: Any) -> Any:
        torch.manual_seed(source.seed)
        return load_plain(source.path, attn_implementation=self.attention)

    @hookimpl
    def compute_loss(self, model: Any, batch: dict[str, Any]) -> Any:
        return compute_loss(getattr(model, "module", model), batch)


def hooks(attention: str = "sdpa", **options: Any) -> Any:
    return TestMixtureOfDepths().manager(Base(attention), **{"capacity": 0.4, **options}).hook


def load(folder: Path, training: bool = True, attention: str = "sdpa", **options: Any) -> Any:
    source = source_of(folder, training=training)
    return hooks(attention, **options).load_model(source=source, processor=None, quantization=None)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Folders of models of four layers, by architecture."""
    folder = tmp_path_factory.mktemp("deep")

    def saved(architecture: str) -> Path:
        there = folder / architecture
        return (
            there
            if there.is_dir()
            else save_tiny_model(there, architecture=architecture, layers=4, **ARCHITECTURES[architecture])
        )

    return saved


def alone(model: Any, rows: Any) -> list[torch.Tensor]:
    """The logits (T, V) of each sequence by itself."""
    with torch.no_grad():
        return [model(input_ids=torch.tensor([row["input_ids"]]), use_cache=False).logits[0] for row in rows]


def left_padded(rows: Any) -> dict[str, torch.Tensor]:
    width = max(len(row["input_ids"]) for row in rows)
    ids = torch.tensor([[0] * (width - len(row["input_ids"])) + row["input_ids"] for row in rows])
    mask = torch.tensor([[0] * (width - len(row["input_ids"])) + [1] * len(row["input_ids"]) for row in rows])
    return {"input_ids": ids, "attention_mask": mask}


# ---- the mathematics ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("every", [1, 2, 3])
@pytest.mark.parametrize("training", [True, False])
def test_an_explicit_loop(models: Any, tiny_bpe: Any, every: int, training: bool) -> None:
    """Equation 1 in float64, token by token and without any mask: the plain model's layers over cut sequences."""
    model = load(models("llama"), every=every).double().train(training)
    plain = load_plain(models("llama")).double()
    (row, _) = examples(tiny_bpe)
    ids = torch.tensor([row["input_ids"]])
    decoder, count = plain.model, round(0.4 * ids.shape[1])
    with torch.no_grad():
        states = decoder.embed_tokens(ids)
        cos, sin = decoder.rotary_emb(states, position_ids=torch.arange(ids.shape[1])[None])
        for index, layer in enumerate(decoder.layers):
            if (index + 1) % every:
                states = layer(states, attention_mask=None, position_embeddings=(cos, sin))
                continue
            weight = model.model.layers[index].depth_router.weight[0]
            scores = [float(states[0, token] @ weight) for token in range(ids.shape[1])]
            highest = sorted(range(len(scores)), key=lambda token: -scores[token])[:count]
            picked = sorted(highest) if training else [token for token, score in enumerate(scores) if score > 0]
            assert 0 < len(picked) < len(scores)
            after = layer(states[:, picked], attention_mask=None, position_embeddings=(cos[:, picked], sin[:, picked]))
            new = states.clone()
            for place, token in enumerate(picked):
                new[0, token] += scores[token] * (after[0, place] - states[0, token])
            states = new
        expected = plain.lm_head(decoder.norm(states))
        torch.testing.assert_close(model(input_ids=ids, use_cache=False).logits, expected)


def test_all_tokens_of_score_one_are_the_plain_model(models: Any, tiny_bpe: Any) -> None:
    model = load(models("llama"), capacity=1.0).train()
    for layer in routed_layers(model):
        layer.depth_router.forward = lambda states: (torch.ones(states.shape[:2]),) * 2
    rows = examples(tiny_bpe)
    torch.testing.assert_close(torch.cat(alone(model, rows)), torch.cat(alone(load_plain(models("llama")), rows)))


def test_the_top_share_of_each_sequence() -> None:
    """Against a loop; padding is never chosen, and a sequence of one token always is."""
    torch.manual_seed(0)
    lengths, capacity = [7, 1, 12, 3], 0.25
    bounds = torch.tensor([0, *lengths]).cumsum(0).to(torch.int32)
    scores = torch.randn(1, 23)
    chosen = top_share(scores, *sequence_numbers(scores, None, bounds), capacity)
    for part, picked in zip(scores[0].split(lengths), chosen[0].split(lengths), strict=True):
        count = max(1, round(capacity * len(part)))
        assert picked.sum() == count
        assert set(picked.nonzero().flatten().tolist()) == set(part.topk(count).indices.tolist())
    scores = torch.randn(2, 8)
    real = torch.tensor([[0] * 3 + [1] * 5, [1] * 8]).bool()
    mask = torch.ones(8, 8).tril().bool() & real[:, None, None]
    for form in (mask, torch.zeros(mask.shape).masked_fill(~mask, torch.finfo(torch.float32).min)):
        chosen = top_share(scores, *sequence_numbers(scores, form, None), capacity)
        assert chosen.sum(1).tolist() == [1, 2] and not (chosen & ~real).any()
        assert int(chosen[0].nonzero()) == int(scores[0, 3:].argmax()) + 3


# ---- batches and generation -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("architecture", "attention"), [("llama", "sdpa"), ("qwen3", "eager"), ("mistral", "sdpa")])
@pytest.mark.parametrize("training", [True, False])
def test_padding_changes_nothing(models: Any, tiny_bpe: Any, architecture: str, attention: str, training: bool) -> None:
    model = load(models(architecture), attention=attention).train(training)
    rows = examples(tiny_bpe)
    expected = alone(model, rows)
    right = collate(rows)
    with torch.no_grad():
        after = model(input_ids=right["input_ids"], attention_mask=right["attention_mask"], use_cache=False).logits
        left = left_padded(rows)
        positions = (left["attention_mask"].cumsum(1) - 1).clamp(min=0)
        before = model(**left, position_ids=positions, use_cache=False).logits
    for number, logits in enumerate(expected):
        torch.testing.assert_close(after[number, : len(logits)], logits, atol=1e-5, rtol=0)
        torch.testing.assert_close(before[number, -len(logits) :], logits, atol=1e-5, rtol=0)


@pytest.mark.parametrize("architecture", ["llama", "mistral"])
@pytest.mark.parametrize("training", [True, False])
def test_concatenated_sequences_stay_apart(models: Any, tiny_bpe: Any, architecture: str, training: bool) -> None:
    from tunesmith_model_transformers import Transformers

    loader = Transformers(path="models/tiny")
    manager = TestMixtureOfDepths().manager(loader, capacity=0.4)
    source = source_of(models(architecture))
    model = manager.hook.load_model(source=source, processor=tiny_bpe, quantization=None).train(training)
    rows = [*examples(tiny_bpe), {"input_ids": [7], "labels": [7]}, {"input_ids": [9, 11], "labels": [9, 11]}]
    batch = collate(rows, padding_free=True)
    inputs = {name: value for name, value in batch.items() if name not in ("labels", "num_items")}
    with torch.no_grad():
        together = model(**inputs, use_cache=False).logits[0]
    torch.testing.assert_close(together, torch.cat(alone(model, rows)), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("architecture", "options"),
    [("llama", {"decide": "predictor"}), ("qwen3", {"every": 1}), ("mistral", {})],
)
def test_the_cache_changes_nothing(models: Any, tiny_bpe: Any, architecture: str, options: dict[str, Any]) -> None:
    """Token by token; a batch that begins at different places; and beams, which reorder the cache."""
    model = load(models(architecture), **options).eval()
    (row, _) = rows = examples(tiny_bpe)
    ids, (expected, _) = torch.tensor([row["input_ids"]]), alone(model, rows)
    pieces, cache = [], None
    with torch.no_grad():
        for part in (ids[:, :6], ids[:, 6:11], *ids[:, 11:].split(1, 1)):
            output = model(input_ids=part, past_key_values=cache, use_cache=True)
            cache = output.past_key_values
            pieces.append(output.logits[0])
    torch.testing.assert_close(torch.cat(pieces), expected, atol=1e-5, rtol=0)
    for beams in (1, 3):
        answers = [
            model.generate(**left_padded(rows), max_new_tokens=8, do_sample=False, use_cache=cached, num_beams=beams)
            for cached in (True, False)
        ]
        assert torch.equal(*answers)


def test_a_token_that_all_skip_costs_nothing(models: Any, tiny_bpe: Any) -> None:
    """A row's new token that no layer processes runs through none, and is no key for the next."""
    model = load(models("llama")).eval()
    ran: list[int] = []
    for layer in routed_layers(model):
        layer.mlp.register_forward_hook(lambda module, inputs, output: ran.append(inputs[0].shape[1]))
    with torch.no_grad():
        output = model(input_ids=torch.tensor([[5, 6, 7, 8]]), use_cache=True)
        assert ran == [4, 4]
        for layer in routed_layers(model):
            layer.depth_router.forward = lambda states: (-torch.ones(states.shape[:2]),) * 2
        model(input_ids=torch.tensor([[9]]), past_key_values=output.past_key_values, use_cache=True)
    assert ran == [4, 4]
    keys = [layer.keys for layer in output.past_key_values.layers]
    assert all(part.shape[2] == 5 for part in keys)
    assert not keys[1][:, :, 4].any() and not keys[3][:, :, 4].any() and keys[0][:, :, 4].any()


def test_another_cache_is_refused(models: Any) -> None:
    model = load(models("llama")).eval()
    with pytest.raises(TunesmithError, match="StaticCache"):
        model.generate(input_ids=torch.tensor([[5, 6]]), max_new_tokens=2, cache_implementation="static")


# ---- the loss -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decide", ["router", "predictor"])
def test_the_loss_has_the_cross_entropy_of_the_decisions(models: Any, tiny_bpe: Any, decide: str) -> None:
    """By hand, from the hidden states that each routed layer gets; and what its gradient reaches."""
    options = {"decide": decide, "aux_weight": 0.3}
    model, batch = load(models("llama"), **options).train(), collate(examples(tiny_bpe))
    plain = compute_loss(model, batch)
    states: list[torch.Tensor] = []
    for layer in routed_layers(model):
        layer.depth_router.register_forward_hook(lambda module, inputs, output: states.append(inputs[0].detach()))
    output = hooks(**options).compute_loss(model=model, batch=batch)
    real, entropies, agree = batch["attention_mask"].bool(), [], []
    for layer, inputs in zip(routed_layers(model), states, strict=True):
        scores = inputs @ layer.depth_router.weight[0]
        logits = scores if decide == "router" else layer.depth_router.predictor(inputs)[..., 0]
        for row, mask, decision in zip(scores, real, logits, strict=True):
            chosen = torch.zeros(int(mask.sum()))
            chosen[row[mask].topk(round(0.4 * len(chosen))).indices] = 1
            entropies.append(F.binary_cross_entropy_with_logits(decision[mask], chosen, reduction="none"))
            agree.append((decision[mask] > 0) == chosen.bool())
    expected = torch.cat(entropies).mean() * batch["num_items"]
    torch.testing.assert_close(output.loss - plain.loss, 0.3 * expected, atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(output.metrics["router_loss"], expected.detach(), atol=1e-3, rtol=1e-4)
    share = torch.cat(agree).float().mean() * batch["num_items"]
    torch.testing.assert_close(output.metrics["router_agreement"], share, atol=1e-3, rtol=1e-4)
    (output.loss - plain.loss).backward()
    reached = {name.rpartition(".")[2] for name, weight in model.named_parameters() if _moved(weight)}
    assert reached == ({"weight"} if decide == "router" else {"weight", "bias"})
    other = [name for name, weight in model.named_parameters() if "depth_router" not in name and _moved(weight)]
    assert bool(other) == (decide == "router"), "the predictor must not move the model"


def _moved(weight: torch.Tensor) -> bool:
    """Whether a gradient is more than what rounding leaves of two equal ones."""
    return weight.grad is not None and bool((weight.grad.abs() > 1e-4).any())


def test_the_loss_of_the_text_reaches_the_router(models: Any, tiny_bpe: Any) -> None:
    model = load(models("llama")).train()
    compute_loss(model, collate(examples(tiny_bpe))).loss.backward()
    assert all(layer.depth_router.weight.grad.norm() > 1e-3 for layer in routed_layers(model))


@pytest.mark.parametrize("reentrant", [True, False])
def test_gradient_checkpointing_changes_nothing(models: Any, tiny_bpe: Any, reentrant: bool) -> None:
    gradients = []
    for checkpointing in (False, True):
        model = load(models("llama")).train()
        if checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": reentrant})
            model.enable_input_require_grads()
        hooks().compute_loss(model=model, batch=collate(examples(tiny_bpe))).loss.backward()
        gradients.append({name: weight.grad for name, weight in model.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=name)


@pytest.mark.parametrize("decide", ["router", "predictor"])
def test_in_bfloat16(models: Any, tiny_bpe: Any, decide: str) -> None:
    """Trained under autocast, where scores stay float32; and served in bfloat16, with the routers in float32."""
    model = load(models("llama"), decide=decide).train()
    scores: list[torch.Tensor] = []
    routed_layers(model)[0].depth_router.register_forward_hook(lambda module, inputs, output: scores.extend(output))
    with torch.autocast("cpu", torch.bfloat16):
        losses = train(model, collate(examples(tiny_bpe)), learning_rate=3e-3, steps=10)
    assert losses[-1] < losses[0] and {score.dtype for score in scores} == {torch.float32}
    served = load(models("llama"), decide=decide).eval()
    for parameter in served.parameters():
        parameter.data = parameter.data.bfloat16()
    for layer in routed_layers(served):
        layer.depth_router.float()
    answer = served.generate(input_ids=torch.tensor([[5, 6, 7]]), max_new_tokens=4, do_sample=False)
    assert answer.shape == (1, 7)


def test_nothing_is_added_in_evaluation_and_nothing_kept(models: Any, tiny_bpe: Any) -> None:
    model, batch = load(models("llama")).eval(), collate(examples(tiny_bpe))
    output = hooks().compute_loss(model=model, batch=batch)
    assert "router_loss" not in output.metrics
    torch.testing.assert_close(output.loss, compute_loss(model, batch).loss)
    hooks().compute_loss(model=model.train(), batch=batch)
    assert all(layer.depth_terms is None for layer in routed_layers(model))


# ---- loading --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decide", ["router", "predictor"])
def test_trained_saved_and_loaded_again(
    models: Any, tiny_bpe: Any, tmp_path: Path, decide: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tunesmith")
    model = load(models("llama"), decide=decide).train()
    losses = train(model, collate(examples(tiny_bpe)), learning_rate=3e-3, steps=25)
    assert losses[-1] < 0.5 * losses[0]
    model.save_pretrained(tmp_path)
    assert "routers: fresh" in caplog.text and f"from {tmp_path}" not in caplog.text
    rows = examples(tiny_bpe)
    again = load(tmp_path, training=False, decide=decide).eval()
    assert torch.equal(torch.cat(alone(again, rows)), torch.cat(alone(model.eval(), rows)))
    assert f"routers: from {tmp_path}" in caplog.text
    with pytest.raises(TunesmithError, match="every and decide must be"):
        load(tmp_path, every=4, decide=decide)


def test_the_routers_are_trained_whatever_is_frozen(models: Any) -> None:
    from tunesmith_adapter_full import Full

    full = Full(freeze=["layers", "embed_tokens"])
    source = source_of(models("llama"))
    model = full.apply_adapter(load(models("llama")), None, source)
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert {"model.layers.1.depth_router.weight", "model.layers.3.depth_router.weight"} < trained
    assert not any("mlp" in name for name in trained)


def test_a_plain_model_that_is_not_trained_stays_plain(models: Any, tiny_bpe: Any) -> None:
    """Such as the reference of a preference objective."""
    model, rows = load(models("llama"), training=False), examples(tiny_bpe)
    assert not routed_layers(model)
    assert torch.equal(torch.cat(alone(model, rows)), torch.cat(alone(load_plain(models("llama")), rows)))


def test_layers_that_carry_a_state_are_refused(tmp_path: Path) -> None:
    folder = save_tiny_model(
        tmp_path / "lfm",
        architecture="lfm2",
        layers=2,
        layer_types=["conv", "full_attention"],
    )
    with pytest.raises(TunesmithError, match=r"layers of conv carry a state"):
        load(folder)


def test_more_layers_than_there_are(models: Any) -> None:
    with pytest.raises(TunesmithError, match=r"every=5"):
        load(models("llama"), every=5)


WHOLE = {"adapter": {"mine": SimpleNamespace(traits=AdapterTraits(whole=True))}}


@pytest.mark.parametrize(
    ("plugins", "values", "command", "key"),
    [
        (WHOLE, {}, "train", None),
        ({"adapter": {"mine": None}}, {}, "train", "adapter"),
        (WHOLE, {"trainer.torch_compile": True}, "train", "trainer.torch_compile"),
        (WHOLE, {"model.attention": "flash_attention_2"}, "train", "model.attention"),
        ({**WHOLE, "model": {"mine": SimpleNamespace(traits=ModelTraits(plain_layers=True))}}, {}, "train", None),
        ({**WHOLE, "model": {"mine": None}}, {}, "train", "model"),
        ({**WHOLE, "stage": {"own": type("Own", (), {"fit": 1})()}}, {}, "train", "stage"),
        ({"engine": {"mine": SimpleNamespace(traits=EngineTraits(runs_modules=True))}}, {}, "chat", None),
        ({"engine": {"mine": None}}, {}, "chat", "engine"),
        ({}, {}, "chat", None),
        ({"exporter": {"merged": None}}, {}, "export", "patch.mixture_of_depths"),
    ],
)
def test_check(plugins: Any, values: Any, command: str, key: str | None) -> None:
    """What a plugin says of itself counts, whatever its name."""
    found = MixtureOfDepths().check(StubPlan(plugins, command, values))
    assert [problem.key for problem in found] == ([key] if key else [])


@pytest.mark.parametrize(("option", "value"), [("capacity", 0.0), ("capacity", 1.5), ("every", 0), ("aux_weight", 0.0)])
def test_ranges(option: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"{option} cannot be {value}"):
        TestMixtureOfDepths.make(**{option: value})


# ---- the whole road -------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("padding_free", [True, False])
def test_a_run(models: Any, tiny_bpe: Any, tmp_path: Path, padding_free: bool) -> None:
    """Trained by the real loop until it knows an answer by heart, which `chat` generates with the cache."""
    import tunesmith

    answer = "I am the tiny model of a test."
    (tmp_path / "train.json").write_text(json.dumps([{"instruction": "Who are you?", "output": answer}] * 16))
    run = tunesmith.train(
        {
            "model": {"path": str(models("qwen3"))},
            "template": "chatml",
            "data": {"train": [str(tmp_path / "train.json")], "val_size": 2, "cache": False},
            "adapter": "full",
            "patch": {"mixture_of_depths": {"capacity": 0.25, "aux_weight": 0.1}},
            "precision": "fp32",
            "tracker": ["jsonl"],
            "engine": {"temperature": 0, "max_new_tokens": 32},
            "output_dir": str(tmp_path / "run"),
            "trainer": {
                "max_steps": 80,
                "per_device_train_batch_size": 7,
                "learning_rate": 3e-3,
                "logging_steps": 5,
                "save_strategy": "no",
                "eval_strategy": "steps",
                "eval_steps": 40,
                "padding_free": padding_free,
            },
        }
    )
    events = records(run)
    steps = [event for event in events if "router_loss" in event]
    assert steps[-1]["loss"] < 0.3 * steps[0]["loss"]
    assert steps[-1]["router_agreement"] > 0.8, steps[-1]
    evaluated = [event["eval_loss"] for event in events if "eval_loss" in event]
    assert evaluated[-1] < 0.5
    assert sum("depth_router" in name for name in load_file(run / "model.safetensors")) == 2
    conversations = [[{"role": "user", "content": "Who are you?"}]] * 2
    assert tunesmith.chat(run, conversations) == [answer] * 2
    first, second = (alone(tunesmith.ChatSession(run)._handle.load().eval(), examples(tiny_bpe)) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    with pytest.raises(TunesmithError, match="no other program runs"):
        tunesmith.export(run, output_dir=tmp_path / "exported")


@pytest.mark.slow
def test_an_interrupted_run_continues_as_if_it_had_not_been(models: Any, tmp_path: Path) -> None:
    """From the checkpoint in the middle, with its routers, to the same weights."""
    import shutil

    import tunesmith

    rows = [{"instruction": f"Who are you, {number}?", "output": "A tiny model."} for number in range(8)]
    (tmp_path / "train.json").write_text(json.dumps(rows))
    run = tunesmith.train(
        {
            "model": {"path": str(models("llama"))},
            "template": "chatml",
            "data": {"train": [str(tmp_path / "train.json")], "cache": False},
            "adapter": "full",
            "patch": {"mixture_of_depths": {"capacity": 0.5, "decide": "predictor"}},
            "precision": "fp32",
            "tracker": ["jsonl"],
            "output_dir": str(tmp_path / "run"),
            "trainer": {"max_steps": 8, "learning_rate": 1e-3, "save_strategy": "steps", "save_steps": 4},
        }
    )
    whole = load_file(run / "model.safetensors")
    shutil.rmtree(run / "checkpoint-8")
    (run / "model.safetensors").unlink()
    again = load_file(tunesmith.train(run, {"resume": True}) / "model.safetensors")
    assert whole.keys() == again.keys() and sum("depth_router" in name for name in whole) == 10
    assert all(torch.equal(again[name], weight) for name, weight in whole.items())


@pytest.mark.gpu
@pytest.mark.parametrize("padding_free", [True, False])
def test_on_a_gpu(models: Any, tiny_bpe: Any, padding_free: bool) -> None:
    """In bfloat16 under autocast, with the kernels of the GPU."""
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    from tunesmith_model_transformers import Transformers

    loader = Transformers(path="models/tiny")
    manager = TestMixtureOfDepths().manager(loader, capacity=0.4)
    source = source_of(models("llama"), precision="bf16")
    model = manager.hook.load_model(source=source, processor=tiny_bpe, quantization=None).cuda().float().train()
    batch = {
        name: value.cuda() if isinstance(value, torch.Tensor) else value
        for name, value in collate(examples(tiny_bpe), padding_free).items()
    }
    with torch.autocast("cuda", torch.bfloat16):
        losses = train(model, batch, learning_rate=3e-3)
    assert losses[-1] < 0.5 * losses[0]
    cached, plain = (
        model.eval().generate(input_ids=torch.tensor([[5, 6, 7]]).cuda(), max_new_tokens=9, use_cache=cache)
        for cache in (True, False)
    )
    assert torch.equal(cached, plain)
