"""gradient_checkpointing=auto: what is decided at both sides of the limit, and that no number depends on it."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText
from tunesmith.traits import AdapterTraits, StageTraits
from tunesmith_library_estimates.room import Room
from tunesmith_library_training import processes
from tunesmith_trainer_transformers import Transformers, memory
from tunesmith_trainer_transformers.beside import Beside

SIZES: dict[str, Any] = {
    "vocab_size": 128,
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
}


def model_of(model_type: str, **options: Any) -> Any:
    torch.manual_seed(0)
    config = AutoConfig.for_model(model_type, **SIZES, **options)
    return AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").train()


def job_of(model: Any, lengths: list[int]) -> Any:
    rows = [{"input_ids": [1] * length, "labels": [1] * length} for length in lengths]
    return SimpleNamespace(model=model, data=SimpleNamespace(train=rows), precision="fp32")


def test_both_sides_of_the_limit(caplog: pytest.LogCaptureFixture) -> None:
    """A device that holds exactly the longest batch keeps its activations; with a byte less they are computed again."""
    caplog.set_level(logging.INFO, logger="tunesmith")
    options, job = Transformers(per_device_train_batch_size=2), job_of(model_of("llama"), [100, 700, 300])
    needed = memory.peak(options, job, 1000)
    assert needed > memory.peak(options, job, 999), "the two longest examples have 1,000 tokens"
    for total, chosen in ((needed, False), (needed - 1, True)):
        room = {"cuda": Room(total, 1.0)}
        assert memory.computes_again(options, job, "cuda", room.get) is chosen
    kept, again = (record.getMessage() for record in caplog.records)
    assert kept.startswith("activations: kept (") and "1,000 tokens" in kept
    assert again.startswith("activations: computed again in the backward pass (") and "=false keeps them" in again
    caplog.clear()
    assert memory.computes_again(options, job, "cuda", {"cuda": Room(1e6, 0.5)}.get)
    assert "are needed even so, and 488 KB may be filled" in caplog.records[-1].getMessage()


def test_the_peak_is_what_a_step_holds() -> None:
    """Weights, gradients and AdamW's states are there to the byte, and activations as PyTorch saves them."""
    model, kept = model_of("llama"), {}
    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(input_ids=torch.zeros(1, 500, dtype=torch.long), use_cache=False, logits_to_keep=1)
    weights = sum(weight.numel() * 4 for weight in model.parameters())
    activations = sum(size for size, _ in kept.values())
    job = job_of(model, [500])
    options = Transformers()
    options._beside = Beside(one_pass=True)
    at_500, at_1000 = (memory.peak(options, job, tokens) for tokens in (500, 1000))
    logits = 8 * SIZES["vocab_size"] + 12 * SIZES["hidden_size"]  # and their gradients; hidden states, three times
    assert at_1000 - at_500 == pytest.approx(activations + 500 * logits, rel=0.04)
    assert at_500 - (at_1000 - at_500) == pytest.approx(3 * weights, rel=0.04)


def test_what_the_other_plugins_need_counts() -> None:
    """A reference model beside it, an optimizer without states, and processes that share weights and states."""
    job = job_of(model_of("llama"), [10])
    weights = sum(weight.numel() * 4 for weight in job.model.parameters())
    plain = memory.peak(Transformers(), job, 10)
    compared = Transformers()
    compared._beside = Beside(second_model=True)
    assert memory.peak(compared, job, 10) - plain == weights
    assert plain - memory.peak(Transformers(optim="sgd"), job, 10) == pytest.approx(2 * weights, rel=0.2)


def test_processes_share_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two layers both come together, so that more than a quarter is there."""
    job = job_of(model_of("llama"), [10])
    alone = memory.peak(Transformers(fsdp="full_shard"), job, 10)
    monkeypatch.setattr(processes, "count", lambda: 4)
    shared = memory.peak(Transformers(fsdp="full_shard"), job, 10)
    assert memory.peak(Transformers(), job, 10) == alone, "without sharding each has all of it"
    assert alone / 4 < shared < 3 * alone / 4


@pytest.mark.parametrize("padding_free", [True, False])
def test_padding_counts(padding_free: bool) -> None:
    options = Transformers(per_device_train_batch_size=3, padding_free=padding_free)
    assert memory.longest_batch(options, job_of(None, [5, 80, 10, 50])) == (140 if padding_free else 240)


def test_lengths_that_nobody_knows(caplog: pytest.LogCaptureFixture) -> None:
    """A stream has the stage's longest; without it, and of a model that cannot, activations are kept; it is said."""
    caplog.set_level(logging.INFO, logger="tunesmith")
    job = job_of(model_of("llama"), [])
    job.data.train = iter([])
    options = Transformers(per_device_train_batch_size=4)
    tiny = Room(1, 1.0)
    assert memory.computes_again(options, job, "cpu", lambda _: tiny) is False
    options._beside = Beside(most=512)
    assert memory.longest_batch(options, job) == 2048
    assert memory.computes_again(options, job, "cpu", lambda _: tiny) is True
    job.model = torch.nn.Linear(2, 2)
    assert memory.computes_again(options, job, "cpu", lambda _: tiny) is False
    said = [record.getMessage() for record in caplog.records]
    assert "not known" in said[0] and "cannot be computed again" in said[-1]


def test_what_a_plan_tells() -> None:
    class Plan(SimpleNamespace):
        def traits(self, kind: str) -> Any:
            return {"stage": self.stage, "adapter": self.adapter}[kind]

        def get(self, key: str) -> Any:
            return self.options.get(key)

        def uses(self, kind: str) -> bool:
            return False

    def told(stage: StageTraits, adapter: AdapterTraits, **options: int) -> Beside:
        of_stage = {f"stage.{name}": value for name, value in options.items()}
        plan: Any = Plan(stage=stage, adapter=adapter, options=of_stage)
        return Beside.of(plan)

    assert told(StageTraits(), AdapterTraits(), max_length=7) == Beside(most=7)
    assert told(StageTraits(reference=True), AdapterTraits(whole=True)).second_model
    assert not told(StageTraits(reference=True), AdapterTraits(beside=True)).second_model
    drawn = told(StageTraits(generates=True), AdapterTraits(), max_prompt_length=100, max_completion_length=50)
    assert (drawn.generates, drawn.most) == (True, 150)


MIXTURE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "decoder_sparse_step": 1}
HYBRID = {"layer_types": ["conv", "full_attention", "conv", "full_attention"]}


@pytest.mark.parametrize("adapter", ["full", "lora", "first layers frozen"])
@pytest.mark.parametrize(("model_type", "options"), [("llama", {}), ("qwen3_moe", MIXTURE), ("lfm2", HYBRID)])
def test_gradients_are_the_same_to_the_bit(model_type: str, options: dict[str, Any], adapter: str) -> None:
    """Dense, a mixture of experts and a hybrid, over two concatenated sequences."""
    gradients = []
    for computes_again in (False, True):
        model = model_of(model_type, **options)
        if adapter == "lora":
            model = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear"))
        elif adapter == "first layers frozen":
            for name, weight in model.named_parameters():
                weight.requires_grad_("layers.2." in name or "layers.3." in name)
        if computes_again:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        ids, places = torch.arange(40)[None], torch.cat([torch.arange(15), torch.arange(25)])[None]
        model(input_ids=ids, position_ids=places, use_cache=False).logits.logsumexp(-1).sum().backward()
        gradients.append({name: weight.grad for name, weight in model.named_parameters() if weight.requires_grad})
    kept, again = gradients
    assert kept.keys() == again.keys() and any(gradient is not None for gradient in kept.values())
    for name, gradient in kept.items():
        assert (gradient is None) == (again[name] is None), name
        assert gradient is None or torch.equal(gradient, again[name]), name


@pytest.mark.parametrize("lora", [False, True])
def test_gradients_of_what_sees_are_the_same_to_the_bit(lora: bool) -> None:
    """An image among the tokens, whose encoder learns too."""
    sections = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]}
    config = AutoConfig.for_model(
        "qwen2_vl",
        text_config={**SIZES, "vocab_size": 160, "num_hidden_layers": 2, "rope_parameters": sections},
        vision_config={"depth": 2, "embed_dim": 32, "num_heads": 2, "hidden_size": 64, "mlp_ratio": 2},
        **{"image_token_id": 150, "vision_start_token_id": 151, "vision_end_token_id": 152},
    )
    ids, pixels = torch.tensor([[5, 151, 150, 150, 150, 150, 152, 9, 8, 7]]), torch.randn(16, 3 * 2 * 14 * 14)
    shown = {"pixel_values": pixels, "image_grid_thw": torch.tensor([[1, 4, 4]])}
    gradients = []
    for computes_again in (False, True):
        torch.manual_seed(0)
        model = AutoModelForImageTextToText.from_config(config).train()
        if lora:
            model = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear"))
        if computes_again:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        logits = model(input_ids=ids, mm_token_type_ids=(ids == 150).int(), use_cache=False, **shown).logits
        logits.logsumexp(-1).sum().backward()
        gradients.append({name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None})
    assert gradients[0].keys() == gradients[1].keys() and any("visual" in name for name in gradients[0])
    assert all(torch.equal(gradients[0][name], gradients[1][name]) for name in gradients[0])
