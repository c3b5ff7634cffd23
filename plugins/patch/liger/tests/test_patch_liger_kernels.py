"""Liger's kernels against float64 and against the plain model: in Triton's interpreter (`TRITON_INTERPRET=1`), or on a
GPU. `test_patch_liger.py` runs this file in a process of its own, since Liger's patches outlive a test."""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tunesmith import hookimpl
from tunesmith_library_testing import PatchSuite
from tunesmith_library_testing.parts import collate as plain_collate
from tunesmith_library_testing.parts import examples, load_plain, logged, logits_of
from tunesmith_library_testing.tiny import save_tiny_model
from tunesmith_patch_liger import Liger

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
interpreted = pytest.mark.skipif(not INTERPRETED, reason="needs TRITON_INTERPRET=1, set before Triton is imported")

# What Triton's interpreter cannot run (these kernels, and the softcap of the loss, call a method of a number that is a
# plain float there), and the rotary embeddings, of which it makes a program per token.
PARTS = {"rms_norm": False, "swiglu": False, "geglu": False, "layer_norm": False, "rope": False}
ARCHITECTURES = {
    "llama": {},
    "qwen3": {"tie_word_embeddings": True},
    "granite": {"logits_scaling": 8.0},
}
CAPPED = {"gemma2": {"query_pre_attn_scalar": 16, "final_logit_softcapping": 3.0}}


@interpreted
class TestLiger(PatchSuite):
    plugin = Liger
    options = PARTS


def compute_plain(model: Any, batch: dict[str, Any]) -> Any:
    """The loss of stage-sft."""
    from tunesmith_library_training.token_loss import token_loss

    return token_loss(model, batch)


class Stage:
    """A stage of this loss, for patches to wrap."""

    @hookimpl
    def compute_loss(self, model: Any, batch: dict[str, Any]) -> Any:
        return compute_plain(model, batch)


def rows(tokenizer: Any, weighted: bool) -> list[dict[str, Any]]:
    """Encoded chats, whose tokens have weights where that is asked."""
    made = examples(tokenizer)
    for row in made if weighted else ():
        row["weights"] = [0.5 + at % 3 for at in range(len(row["input_ids"]))]
    return made


def results(compute_loss: Any, model: Any, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Loss, accuracy and the gradients of all trained weights."""
    model.zero_grad()
    output = compute_loss(model=model, batch=batch)
    output.loss.backward()
    gradients = {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}
    return {"loss": output.loss.detach(), "accuracy": output.metrics["accuracy"], **gradients}


def assert_close(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], tolerance: float) -> None:
    """Equal but for `tolerance` of the largest entry of each tensor."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        error = (found[name].float() - value.float()).abs().max() / value.float().abs().max().clamp(min=1e-6)
        assert error.item() < tolerance, name


@interpreted
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("biased", [False, True])
def test_kernel_against_float64(biased: bool, weighted: bool) -> None:
    compare_with_float64(biased, weighted, None, "cpu", 1e-5)


@pytest.mark.gpu
@pytest.mark.parametrize("softcap", [None, 3.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_kernel_on_a_gpu_against_float64(weighted: bool, softcap: float | None) -> None:
    if not torch.cuda.is_available() or INTERPRETED:
        pytest.skip("no CUDA device, or Triton's interpreter")
    compare_with_float64(True, weighted, softcap, "cuda", 1e-4)


def compare_with_float64(biased: bool, weighted: bool, softcap: float | None, device: str, tolerance: float) -> None:
    """Loss, likeliest labels and gradients, against torch in float64 on the CPU."""
    from tunesmith_patch_liger.loss import linear_cross_entropy

    generator = torch.Generator().manual_seed(1)
    hidden, weight, bias = (torch.randn(shape, generator=generator) for shape in ((23, 16), (77, 16), (77,)))
    labels = torch.randint(77, (23,), generator=generator)
    labels[::4] = -100
    weights = torch.rand(23, generator=generator) if weighted else None

    def leaves(dtype: torch.dtype) -> list[torch.Tensor]:
        return [
            each.detach().to(dtype, copy=True).requires_grad_()
            for each in ([hidden, weight, bias] if biased else [hidden, weight])
        ]

    ours = leaves(torch.float32)
    loss, likeliest = linear_cross_entropy(ours[0], ours[1], ours[2] if biased else None, labels, weights, softcap)
    (loss * 0.3).backward()

    exact = leaves(torch.float64)
    logits = F.linear(*exact)
    logits = logits if softcap is None else softcap * torch.tanh(logits / softcap)
    losses = F.cross_entropy(logits, labels, reduction="none")
    expected = (losses if weights is None else losses * weights.double()).sum()
    (expected * 0.3).backward()

    assert loss.shape == () and loss.dtype == torch.float32
    torch.testing.assert_close(loss.double().cpu(), expected, rtol=tolerance, atol=tolerance)
    likeliest = likeliest.cpu()
    trained = labels != -100
    assert torch.equal(likeliest[trained], logits.argmax(dim=-1)[trained]) and bool((likeliest[~trained] == -1).all())
    for found, reference in zip(ours, exact, strict=True):
        error = (found.grad.double().cpu() - reference.grad).abs().max() / reference.grad.abs().max()
        assert error.item() < tolerance


@pytest.fixture
def restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put back after a test what Liger replaces in transformers' modules."""
    for architecture in ARCHITECTURES | CAPPED:
        module = importlib.import_module(f"transformers.models.{architecture}.modeling_{architecture}")
        for name in dir(module):
            if name == "apply_rotary_pos_emb" or name.endswith(("RMSNorm", "MLP")):
                monkeypatch.setattr(module, name, getattr(module, name))


@pytest.fixture
def kernel_calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of hidden states of each call of Liger's loss."""
    from tunesmith_patch_liger import loss

    calls, original = [], loss.liger_fused_linear_cross_entropy

    def counted(hidden: torch.Tensor, *arguments: Any, **options: Any) -> Any:
        calls.append(len(hidden))
        return original(hidden, *arguments, **options)

    monkeypatch.setattr(loss, "liger_fused_linear_cross_entropy", counted)
    return calls


@interpreted
@pytest.mark.parametrize(
    ("architecture", "padding_free", "weighted"),
    [("llama", True, False), ("llama", False, True), ("qwen3", True, True), ("granite", True, False)],
)
def test_same_loss_and_gradients(
    architecture: str,
    padding_free: bool,
    weighted: bool,
    tmp_path: Path,
    tiny_bpe: Any,
    restored: None,
    kernel_calls: list[int],
) -> None:
    """The loss against the stage's own; caps, scales, weights and tied embeddings included."""
    from tunesmith_library_training.batches import collate

    folder = save_tiny_model(tmp_path / "m", architecture=architecture, **ARCHITECTURES[architecture])
    batch = collate(rows(tiny_bpe, weighted), padding_free)
    expected = results(compute_plain, load_plain(folder), batch)
    assert kernel_calls == []
    patch = TestLiger()
    found = results(patch.manager(Stage()).hook.compute_loss, patch.load(folder), batch)
    assert len(kernel_calls) == 1 and kernel_calls[0] < batch["input_ids"].numel()
    assert_close(found, expected, 1e-5)


@interpreted
@pytest.mark.parametrize("padding_free", [False, True])
def test_rotary_embeddings(padding_free: bool, tiny_llama: Path, restored: None) -> None:
    """Of sequences that restart within a row, and of rows that are padded."""
    from transformers.models.llama import modeling_llama as llama
    from tunesmith_patch_liger.layers import patch_layers

    rows = [{"input_ids": list(range(5, 5 + length)), "labels": list(range(5, 5 + length))} for length in (5, 3)]
    batch = plain_collate(rows, padding_free)
    expected = results(compute_plain, load_plain(tiny_llama), batch)
    patched = load_plain(tiny_llama)
    patch_layers(patched, {**PARTS, "rope": True}, loss=True)
    assert llama.apply_rotary_pos_emb.__module__.startswith("liger_kernel")
    assert_close(results(compute_plain, patched, batch), expected, 1e-5)


@interpreted
@pytest.mark.parametrize("trained", [[], ["lm_head"], ["embed_tokens"]])
def test_parts_of_the_model_are_trained(
    trained: list[str], tiny_llama: Path, tiny_bpe: Any, restored: None, kernel_calls: list[int]
) -> None:
    """An output layer that is trained alone has a gradient, and evaluation has none."""
    batch = plain_collate(examples(tiny_bpe), padding_free=True)
    models = [load_plain(tiny_llama), TestLiger().load(tiny_llama)]
    for model in models:
        for name, weight in model.named_parameters():
            weight.requires_grad_(any(part in name for part in trained))
    hook = TestLiger().manager(Stage()).hook
    if not trained:
        found = hook.compute_loss(model=models[1], batch=batch).loss
        torch.testing.assert_close(found, compute_plain(model=models[0], batch=batch).loss)
        assert not found.requires_grad
        return
    expected, found = results(compute_plain, models[0], batch), results(hook.compute_loss, models[1], batch)
    assert len(kernel_calls) == 1 and len(found) == 3
    assert_close(found, expected, 1e-5)


@interpreted
def test_nothing_trained_in_a_batch(tiny_llama: Path, tiny_bpe: Any, restored: None) -> None:
    batch = plain_collate(examples(tiny_bpe), padding_free=True)
    batch["labels"] = torch.full_like(batch["labels"], -100)
    model = TestLiger().load(tiny_llama)
    output = TestLiger().manager(Stage()).hook.compute_loss(model=model, batch=batch)
    output.loss.backward()
    assert output.loss.item() == 0.0 and output.metrics["accuracy"].item() == 0.0
    assert not any(weight.grad.any() for weight in model.parameters() if weight.grad is not None)


@interpreted
@pytest.mark.parametrize(
    ("architecture", "mlp"), [("llama", "LigerSwiGLUMLP"), ("qwen3", "LigerSwiGLUMLP"), ("gemma2", "LigerGEGLUMLP")]
)
def test_layers_are_liger_s(architecture: str, mlp: str, tmp_path: Path, restored: None) -> None:
    """Norms and MLPs of the loaded model, whose forward stays transformers' own."""
    from tunesmith_patch_liger.layers import patch_layers

    model = load_plain(
        save_tiny_model(tmp_path / "m", architecture=architecture, **(ARCHITECTURES | CAPPED)[architecture])
    )
    patch_layers(model, Liger().kernels(), loss=True)
    kinds = [repr(module).partition("(")[0] for module in model.modules()]
    norms = [name for name, module in model.named_modules() if name.endswith("norm")]
    assert kinds.count(mlp) == 2
    assert kinds.count("LigerRMSNorm") == len(norms) >= 5
    assert "forward" not in vars(model)


@interpreted
def test_twenty_steps(tiny_llama: Path, tiny_bpe: Any, restored: None, kernel_calls: list[int], tmp_path: Path) -> None:
    """The kernel's gradients lower the loss; what was trained is saved, and loaded again has the same logits."""
    short = [{"input_ids": row["input_ids"][-5:], "labels": row["labels"][-5:]} for row in examples(tiny_bpe)]
    patch, batch = TestLiger(), plain_collate(short, padding_free=True)
    model, hook = patch.load(tiny_llama).train(), patch.manager(Stage()).hook
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    losses = []
    for _ in range(20):
        output = hook.compute_loss(model=model, batch=batch)
        (output.loss / output.num_items).backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(output.loss.item())
    assert len(kernel_calls) == 20 and losses[-1] < 0.5 * losses[0]
    model.save_pretrained(tmp_path / "trained")
    assert torch.equal(logits_of(load_plain(tmp_path / "trained"), tiny_bpe), logits_of(model, tiny_bpe))


@interpreted
@pytest.mark.slow
def test_a_run(tmp_path: Path, tiny_bpe: Any, restored: None, kernel_calls: list[int]) -> None:
    """A whole run lowers the loss, and what it saved answers as it did, without the patch."""
    import tunesmith

    save_tiny_model(tmp_path / "base", tokenizer=tiny_bpe)
    turns = [("Who counts the waves?", "Nobody."), ("Who sings?", "Whales sing.")] * 16
    rows = [{"instruction": question, "output": answer} for question, answer in turns]
    (tmp_path / "train.json").write_text(json.dumps(rows))
    folder = tunesmith.train(
        {
            "model": {"path": str(tmp_path / "base")},
            "template": "chatml",
            "data": {"train": [{"path": str(tmp_path / "train.json"), "format": "alpaca"}], "cache": False},
            "stage": "sft",
            "adapter": "full",
            "patch": {"liger": PARTS},
            "tracker": ["jsonl"],
            "precision": "fp32",
            "output_dir": str(tmp_path / "out"),
            "engine": {"temperature": 0, "max_new_tokens": 12},
            "trainer": {
                "max_steps": 24,
                "per_device_train_batch_size": 8,
                "learning_rate": 5e-3,
                "logging_steps": 1,
                "save_strategy": "no",
            },
        }
    )
    losses = logged(folder)
    assert len(kernel_calls) == len(losses) == 24
    assert losses[-1] < 0.5 * losses[0]
    (answer,) = tunesmith.chat(folder, [[{"role": "user", "content": "Who sings?"}]])
    assert answer.strip() == "Whales sing."


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("architecture", [*ARCHITECTURES, *CAPPED])
def test_all_kernels_on_a_gpu(
    architecture: str, precision: str, tmp_path: Path, tiny_bpe: Any, restored: None, kernel_calls: list[int]
) -> None:
    """Every kernel at once, loss and gradients, against the plain model in float32."""
    if not torch.cuda.is_available() or INTERPRETED:
        pytest.skip("no CUDA device, or Triton's interpreter")
    from tunesmith_patch_liger.layers import patch_layers

    folder = save_tiny_model(tmp_path / "m", architecture=architecture, **(ARCHITECTURES | CAPPED)[architecture])
    batch = plain_collate(examples(tiny_bpe), padding_free=True)
    batch = {name: value.cuda() if isinstance(value, torch.Tensor) else value for name, value in batch.items()}
    expected = results(compute_plain, load_plain(folder).cuda(), batch)
    patched = load_plain(folder, dtype=precision).cuda()
    patch_layers(patched, Liger().kernels(), loss=True)
    found = results(TestLiger().manager(Stage()).hook.compute_loss, patched, batch)
    assert len(kernel_calls) == 1
    for each in (found, expected):
        del each["accuracy"]
    assert_close(found, expected, 1e-3 if precision == "float32" else 0.1)
