"""What LoRA says that it costs, against what peft trains."""

from dataclasses import replace

import pytest
import torch
from tunesmith_adapter_lora import Lora
from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_estimates.machines import Machine
from tunesmith_library_testing.parts import estimate_of, load_plain, source_of
from tunesmith_library_testing.tiny import save_tiny_model

EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
MODELS = {
    "llama": {"architecture": "llama", "attention_bias": True},
    "tied": {"architecture": "qwen2", "tie_word_embeddings": True},
    "experts": {"architecture": "qwen3_moe", **EXPERTS},
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {
        name: save_tiny_model(tmp_path_factory.mktemp("tiny") / name, layers=3, **options)
        for name, options in MODELS.items()
    }


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"target_modules": ["q_proj", "layers.1.mlp"]},
        {"target_modules": ["all", "lm_head", "embed_tokens"]},
        {"exclude_modules": ["layers.[0-1].*"], "rank": 3},
        {"rank_pattern": {"self_attn": 4, "layers.0.self_attn.q_proj": 2}},
        {"use_dora": True, "rank": 4},
        {"modules_to_save": ["embed_tokens"], "target_modules": ["v_proj"]},
        {"modules_to_save": ["lm_head"]},
        {"bias": "all"},
        {"bias": "lora_only", "target_modules": ["q_proj"]},
    ],
)
@pytest.mark.parametrize("name", MODELS)
def test_equals_peft(name, options, folders):
    if name == "experts" and options.get("use_dora"):
        options = {**options, "exclude_modules": ["experts"]}
    torch.manual_seed(0)
    before = estimate_of(load_plain(folders[name]))
    model = Lora(**options).apply_adapter(load_plain(folders[name]), None, source_of(folders[name]))
    found = Lora(**options).estimate(before)
    assert found.trained == sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    assert found.parameters == sum(weight.numel() for weight in model.parameters())


def test_single_tokens(folders):
    """One row for each token, in the embeddings alone where the output layer is tied to them."""
    rows = Lora(train_tokens=["<new>", "</s>"], target_modules=["q_proj"])
    without = Lora(target_modules=["q_proj"])
    for name, layers in (("tied", 1), ("llama", 2)):
        before = estimate_of(load_plain(folders[name]))
        assert rows.estimate(before).trained - without.estimate(before).trained == layers * 2 * 64


def test_an_adapter_to_go_on_with_is_not_known():
    found = Lora(path="runs/other").estimate(Estimate("bf16"))
    assert found.unknown == ("the adapter that adapter.path names",)


def test_the_share_that_is_reached_is_said(folders):
    """By hand: 3 layers of attention (64 · 64 · 2 + 64 · 32 · 2), experts (4 · 3 · 64 · 32), router, and the head."""
    attention, experts, router = 3 * 12288, 3 * 24576, 3 * 256
    before = estimate_of(load_plain(folders["experts"]))
    head = next(weight.count for weight in before.weights if weight.kind == "head")
    total = attention + experts + router + head
    # one layer's experts are added up at a time, here in float32
    found = Lora().estimate(before)
    assert found.bytes("forward")["experts of a layer, with what LoRA adds"] == 4 * 24576
    assert set(found.bytes("step")) == {"weights"}
    (every,) = found.shares
    assert every.startswith(f"adapter, LoRA: {100 * (attention + experts) / total:.0f}% of the weights (not: lm_head")
    (attention_alone,) = Lora(exclude_modules=["experts"]).estimate(before).shares
    assert f"{100 * attention / total:.0f}% of the weights (not: mlp.experts.gate_up_proj" in attention_alone


TOKENS = 97


@pytest.mark.parametrize(("dropout", "dora"), [(0.0, True), (0.1, False), (0.1, True)])
def test_what_adapted_layers_keep_is_what_pytorch_saves(dropout, dora, folders):
    """The embeddings learn beside, so that no layer's input is without a gradient."""
    kept = {}
    for options in ({}, {"dropout": dropout, "use_dora": dora}):
        plain = load_plain(folders["llama"])
        before = replace(estimate_of(plain), machine=Machine("cpu"))
        lora = Lora(**options)
        planned = sum(lora.estimate(before).keeping.values())
        model = lora.apply_adapter(plain, None, source_of(folders["llama"])).train()
        model.get_input_embeddings().requires_grad_(True)
        kept[bool(options)] = _saved(model) - planned * TOKENS
    assert planned > 0
    assert kept[True] == pytest.approx(kept[False], abs=0.25 * planned * TOKENS)


def _saved(model):
    """Bytes that a forward pass keeps, beside the weights."""
    own = {tensor.untyped_storage().data_ptr() for tensor in model.parameters()}
    found = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own and TOKENS in tensor.shape:
            found[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(input_ids=torch.zeros(1, TOKENS, dtype=torch.long), use_cache=False, logits_to_keep=1)
    return sum(size for size, _ in found.values())
