"""Attention within each sequence of a batch against each sequence alone, and the probe that finds leaks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig
from tunesmith import TunesmithError
from tunesmith_library_testing.parts import load_plain
from tunesmith_library_testing.tiny import save_tiny_model
from tunesmith_library_training import attention as per_sequence
from tunesmith_library_training import watching
from tunesmith_library_training.isolation import TOLERANCE, isolates_sequences

LENGTHS = (9, 1, 23, 14, 2)
GEMMA = {
    "sliding_window": 6,
    "query_pre_attn_scalar": 16,
    "attn_logit_softcapping": 2.0,
    "final_logit_softcapping": 3.0,
}
GPT_OSS = {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 6}
ARCHITECTURES = {
    "llama": {},
    "qwen2": {},
    "qwen3": {},
    "mistral": {"sliding_window": 6},
    "gemma2": GEMMA,
    "gemma3_text": GEMMA,
    "gpt_oss": GPT_OSS,
    "gpt2": {"n_embd": 64, "n_layer": 2, "n_head": 4},
    "qwen2_moe": {"num_experts": 4, "use_sliding_window": True, "max_window_layers": 0, "sliding_window": 6},
    "llama4_text": {"attention_chunk_size": 6, "num_local_experts": 2, "intermediate_size_mlp": 64},
}

MIXTURES = ("gpt_oss", "qwen2_moe")  # their grouped matrix products know no float64


def load(folder: Path, attention: str = per_sequence.NAME) -> Any:
    """A model in training, whose attention is `per_sequence` or one of transformers' own."""
    per_sequence.register()
    model = load_plain(folder, attn_implementation=attention).train()
    watching.watch(model.base_model)
    return model


def concatenated(sequences: list[torch.Tensor]) -> dict:
    """The batch of the contract: restarting positions and the bounds of the sequences."""
    lengths = [len(sequence) for sequence in sequences]
    bounds = torch.tensor([0, *lengths]).cumsum(0).int()
    return {
        "input_ids": torch.cat(sequences)[None],
        "position_ids": torch.cat([torch.arange(length) for length in lengths])[None],
        "cu_seq_lens_q": bounds,
        "cu_seq_lens_k": bounds,
        "max_length_q": max(lengths),
        "max_length_k": max(lengths),
        "use_cache": False,
    }


def random_sequences(vocab_size: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(vocab_size, (length,), generator=generator) for length in LENGTHS]


@pytest.mark.parametrize("attention", ["per_sequence", "sdpa", "eager"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_concatenated_equals_alone(architecture: str, attention: str, tmp_path: Path) -> None:
    """Logits and gradients of a concatenated batch are those of each sequence alone, in eager attention."""
    if attention == "sdpa" and architecture in ("gemma2", "gpt_oss"):
        pytest.skip("SDPA has neither softcap nor sinks")
    if attention == "eager" and architecture == "gpt_oss":
        pytest.skip("leaks: transformers makes its mask without position_ids; see test_probe_finds_a_forgotten_mask")
    folder = save_tiny_model(tmp_path / "m", architecture=architecture, **ARCHITECTURES[architecture])
    if architecture == "llama4_text" and isolates_sequences(load(folder, attention=attention)) == float("inf"):
        pytest.skip("transformers 5.17 counts chunks from where the row begins: there are padded batches")
    dtype = torch.float32 if architecture in MIXTURES else torch.float64
    model = load(folder, attention=attention).to(dtype).eval()
    alone = load(folder, attention="eager").to(dtype).eval()
    sequences = random_sequences(model.config.vocab_size)
    torch.manual_seed(0)
    weights = torch.randn(sum(LENGTHS), model.config.vocab_size, dtype=dtype)

    logits = model(**concatenated(sequences)).logits[0]
    expected = torch.cat([alone(input_ids=ids[None], use_cache=False).logits[0] for ids in sequences])
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)

    (logits * weights).sum().backward()
    (expected * weights).sum().backward()
    for (name, ours), theirs in zip(model.named_parameters(), alone.parameters(), strict=True):
        if theirs.grad is not None:
            error = (ours.grad - theirs.grad).abs().max() / theirs.grad.abs().max()
            assert error < 1e-5, name


@pytest.mark.parametrize("architecture", ["llama", "mistral", "gemma2", "gpt_oss"])
def test_padded_batch_and_generation_agree_with_eager(architecture: str, tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "m", architecture=architecture, **ARCHITECTURES[architecture])
    ours, eager = load(folder).eval(), load(folder, attention="eager").eval()
    ids = torch.randint(5, 250, (2, 12), generator=torch.Generator().manual_seed(2))
    mask = torch.ones_like(ids)
    mask[0, :5] = 0
    with torch.no_grad():
        left, right = (model(input_ids=ids, attention_mask=mask).logits for model in (ours, eager))
        torch.testing.assert_close(left[mask.bool()], right[mask.bool()], rtol=1e-4, atol=1e-5)
        tokens = [
            model.generate(input_ids=ids, attention_mask=mask, max_new_tokens=8, do_sample=False)
            for model in (ours, eager)
        ]
    assert torch.equal(*tokens)


def test_mask_costs_nothing_unless_a_window_binds(tmp_path: Path) -> None:
    """No T by T mask is made for a concatenated batch whose sequences fit the window, also through peft."""
    from peft import LoraConfig, get_peft_model

    masks = []
    model = load(save_tiny_model(tmp_path / "m", architecture="mistral", sliding_window=64))
    model = get_peft_model(model, LoraConfig(r=2, target_modules="all-linear"))
    for layer in model.get_base_model().model.layers:
        layer.self_attn.register_forward_pre_hook(
            lambda module, args, kwargs: masks.append(kwargs["attention_mask"]), with_kwargs=True
        )
    model(**concatenated(random_sequences(300)))
    assert masks == [None, None]


def test_gradient_checkpointing_gives_the_same_gradients(tiny_llama: Path) -> None:
    gradients = []
    for checkpointing in (False, True):
        model = load(tiny_llama).train()
        if checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model(**concatenated(random_sequences(300))).logits.square().sum().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(recomputed, plain)


@pytest.mark.parametrize("attention", ["per_sequence", "sdpa", "eager"])
def test_probe_finds_no_leak(attention: str, tiny_llama: Path) -> None:
    assert isolates_sequences(load(tiny_llama, attention=attention)) < TOLERANCE


@pytest.mark.parametrize("architecture", ["mamba", "rwkv", "qwen3_next"])
def test_probe_finds_recurrent_state(architecture: str, tmp_path: Path) -> None:
    more = (
        {"num_experts": 4, "num_experts_per_tok": 2, "linear_num_value_heads": 4, "linear_num_key_heads": 2}
        if architecture == "qwen3_next"
        else {}
    )
    folder = save_tiny_model(tmp_path / "m", architecture=architecture, **more)
    assert isolates_sequences(load(folder, attention="eager")) > TOLERANCE


def test_probe_finds_a_forgotten_mask(tmp_path: Path) -> None:
    """transformers' GPT-OSS builds its mask without position_ids: eager attention leaks, ours does not."""
    folder = save_tiny_model(tmp_path / "m", architecture="gpt_oss", **GPT_OSS)
    assert isolates_sequences(load(folder)) < TOLERANCE
    assert isolates_sequences(load(folder, attention="eager")) > TOLERANCE


def test_probe_leaves_the_model_as_it_was(tiny_llama: Path) -> None:
    model = load(tiny_llama).eval()
    state = torch.get_rng_state()
    isolates_sequences(model)
    assert not model.training
    assert torch.equal(torch.get_rng_state(), state)


def test_two_masks_are_refused(tiny_llama: Path) -> None:
    batch = concatenated(random_sequences(300))
    with pytest.raises(TunesmithError, match="no attention_mask"):
        load(tiny_llama)(**batch, attention_mask=torch.ones_like(batch["input_ids"]))


@pytest.mark.parametrize(
    "architecture, taken", [("llama", True), ("gpt2", True), ("mamba", True), ("gpt_neo", False), ("bloom", False)]
)
def test_who_calls_registered_attention(architecture: str, taken: bool) -> None:
    """Models without attention take any; those with attention classes of their own take none."""
    assert per_sequence.takes_attention(AutoConfig.for_model(architecture)) == taken


def test_code_that_comes_with_a_model_is_not_looked_into() -> None:
    config = AutoConfig.for_model("llama")
    config.auto_map = {"AutoModelForCausalLM": "modeling.Model"}
    assert not per_sequence.takes_attention(config)


@pytest.mark.gpu
def test_varlen_kernel_agrees_with_sdpa(tmp_path: Path) -> None:
    """The CUDA kernel in bf16 against eager attention in fp32, windows included."""
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    folder = save_tiny_model(tmp_path / "m", architecture="mistral", sliding_window=6)
    ours, eager = load(folder).cuda().bfloat16(), load(folder, attention="eager").cuda()
    batch = {
        name: value.cuda() if isinstance(value, torch.Tensor) else value
        for name, value in concatenated(random_sequences(300)).items()
    }
    expected = eager(**batch).logits
    torch.testing.assert_close(ours(**batch).logits.float(), expected, rtol=0.05, atol=0.02)
