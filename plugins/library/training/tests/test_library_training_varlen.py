"""How kernels for sequences of different lengths are called: with stand-ins of the same signatures, written from what
their documentation says, on the CPU; the kernels themselves where there is a GPU."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tunesmith_library_testing.parts import load_plain
from tunesmith_library_testing.tiny import save_tiny_model
from tunesmith_library_training import attention, varlen, watching

LENGTHS = (9, 1, 23, 14, 2)
ARCHITECTURES = {
    "llama": {},
    "mistral": {"sliding_window": 6},
    "gemma2": {"sliding_window": 6, "query_pre_attn_scalar": 16, "attn_logit_softcapping": 2.0},
    "gpt_oss": {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 6},
}


def exact(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    bounds: list[int],
    scale: float,
    left: int,
    right: int,
    cap: float,
) -> torch.Tensor:
    """Attention of each sequence by a loop over its heads: (T, heads, D), (T, key heads, D) -> (T, heads, D).

    Token i sees j where i - left <= j <= i + right; a negative bound is none.
    """
    pieces = []
    for start, end in itertools.pairwise(bounds):
        tokens = torch.arange(end - start, device=q.device)
        ahead = tokens[None, :] - tokens[:, None]
        hidden = torch.zeros_like(ahead, dtype=torch.bool)
        hidden |= (ahead > right) if right >= 0 else False
        hidden |= (ahead < -left) if left >= 0 else False
        heads = []
        for head in range(q.shape[1]):
            group = head * k.shape[1] // q.shape[1]
            scores = q[start:end, head] @ k[start:end, group].T * scale
            scores = cap * torch.tanh(scores / cap) if cap else scores
            heads.append(scores.masked_fill(hidden, -torch.inf).softmax(-1) @ v[start:end, group])
        pieces.append(torch.stack(heads, dim=1))
    return torch.cat(pieces)


def flash_attn_2(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    cu_seqlens_q: torch.Tensor,
    cu_seqlens_k: torch.Tensor,
    max_seqlen_q: int,
    max_seqlen_k: int,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
    softcap: float = 0.0,
) -> torch.Tensor:
    """As `flash_attn.flash_attn_varlen_func` 2.8 describes itself."""
    check_bounds(q, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k)
    scale = q.shape[-1] ** -0.5 if softmax_scale is None else softmax_scale
    right = 0 if causal else window_size[1]
    return exact(q, k, v, cu_seqlens_q.tolist(), scale, window_size[0], right, softcap)


def flash_attn_3(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    max_seqlen_q: int,
    cu_seqlens_q: torch.Tensor,
    max_seqlen_k: int,
    cu_seqlens_k: torch.Tensor,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
) -> tuple[torch.Tensor, torch.Tensor]:
    """Another order of arguments, neither dropout nor softcap, and the sums of the softmax beside the output."""
    bounds = {"cu_seqlens_q": cu_seqlens_q, "cu_seqlens_k": cu_seqlens_k}
    lengths = {"max_seqlen_q": max_seqlen_q, "max_seqlen_k": max_seqlen_k}
    out = flash_attn_2(
        q, k, v, **bounds, **lengths, softmax_scale=softmax_scale, causal=causal, window_size=window_size
    )
    return out, torch.zeros(())


def varlen_attn(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    cu_seq_q: torch.Tensor,
    cu_seq_k: torch.Tensor,
    max_q: int,
    max_k: int,
    *,
    scale: float | None = None,
    window_size: tuple[int, int] = (-1, -1),
    enable_gqa: bool = False,
) -> torch.Tensor:
    """As `torch.nn.attention.varlen.varlen_attn` describes itself."""
    check_bounds(query, cu_seq_q, cu_seq_k, max_q, max_k)
    assert enable_gqa or query.shape[1] == key.shape[1], "grouped heads must be announced"
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    return exact(query, key, value, cu_seq_q.tolist(), scale, *window_size, 0.0)


def check_bounds(query: Any, cu_q: Any, cu_k: Any, max_q: int, max_k: int) -> None:
    assert cu_q.dtype == cu_k.dtype == torch.int32 and cu_q[0] == 0 and cu_q[-1] == len(query)
    assert type(max_q) is int and max_q == max_k == int(cu_q.diff().max())


KERNELS = {
    "flash_attn_2": varlen.of_flash_attn(flash_attn_2, "stand_in_2"),
    "flash_attn_3": varlen.of_flash_attn(flash_attn_3, "stand_in_3"),
    "varlen_attn": varlen.of_torch(varlen_attn, "stand_in_torch"),
}


def counted(kernel: varlen.Kernel, calls: list[str]) -> varlen.Kernel:
    """The same kernel as one that computes on the CPU in fp32, and notes its calls."""

    def function(*arguments: Any, **options: Any) -> torch.Tensor:
        calls.append(kernel.name)
        return kernel.function(*arguments, **options)

    return dataclasses.replace(kernel, function=function, device="cpu", dtypes=(torch.float32,))


def concatenated(sequences: list[torch.Tensor]) -> dict[str, Any]:
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


def random_sequences() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(5, 250, (length,), generator=generator) for length in LENGTHS]


def load(folder: Path, kernel: varlen.Kernel | None = None) -> Any:
    """A model whose attention is `per_sequence`, by a kernel if one is given."""
    attention.register()
    model = load_plain(folder, attn_implementation=attention.NAME)
    watching.watch(model.base_model)
    if kernel is not None:
        attention.use(model, kernel)
    return model


def logits_and_gradients(model: Any, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
    logits = model(**batch).logits
    logits.float().square().mean().backward()
    gradients = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
    return {"logits": logits.detach(), **gradients}


def layers_of(kernel: varlen.Kernel, architecture: str) -> int:
    """How many of the two layers a kernel computes: all or none."""
    refused = architecture == "gpt_oss" or (architecture == "gemma2" and not kernel.softcap)
    return 0 if refused else 2


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", KERNELS)
def test_kernels_agree_with_sdpa(name: str, architecture: str, tmp_path: Path) -> None:
    """Grouped heads, windows that bind, scales and caps reach the kernel; what it cannot do is not asked of it."""
    folder = save_tiny_model(tmp_path / "m", architecture=architecture, **ARCHITECTURES[architecture])
    calls: list[str] = []
    batch = concatenated(random_sequences())
    expected = logits_and_gradients(load(folder), batch)
    assert calls == []
    found = logits_and_gradients(load(folder, counted(KERNELS[name], calls)), batch)
    assert len(calls) == layers_of(KERNELS[name], architecture)
    for what, value in expected.items():
        error = (found[what] - value).abs().max() / value.abs().max().clamp(min=1e-9)
        assert error < 1e-5, what


def test_what_a_kernel_can_compute() -> None:
    def old(q: Any, k: Any, v: Any, dropout_p: float = 0.0, window_size: tuple[int, int] = (-1, -1)) -> None: ...

    kernels = {**KERNELS, "old": varlen.of_flash_attn(old)}
    able = {name: (kernel.softcap, kernel.dropout) for name, kernel in kernels.items()}
    no = (False, False)
    assert able == {"flash_attn_2": (True, True), "flash_attn_3": no, "varlen_attn": no, "old": (False, True)}


def fits(shape: tuple[int, ...] = (1, 4, 7, 16), width: int | None = None, **options: Any) -> bool:
    """Whether the second version's kernel on the CPU takes these."""
    dtype = options.pop("dtype", torch.float32)
    query, value = torch.zeros(shape, dtype=dtype), torch.zeros(*shape[:-1], width or shape[-1], dtype=dtype)
    kernel = options.pop("kernel", counted(KERNELS["flash_attn_2"], []))
    nothing = {"dropout": 0.0, "softcap": None, "sinks": None, "mask": None, "window": None}
    return varlen.fits(kernel, query, value, **{**nothing, **options})


def test_what_fits() -> None:
    plain, local = torch.ones(1, 1, 7, 7, dtype=torch.bool), torch.ones(1, 1, 7, 7, dtype=torch.bool)
    local.is_local = True
    without = counted(KERNELS["varlen_attn"], [])
    assert fits() and fits(dropout=0.1, softcap=2.0) and fits(mask=local, window=4)
    assert not fits(kernel=None)
    assert not fits(kernel=KERNELS["flash_attn_2"]), "it computes on CUDA"
    assert not fits(dtype=torch.float64) and not fits(sinks=torch.zeros(4))
    assert not fits(mask=plain) and not fits(mask=plain, window=4) and not fits(mask=local)
    assert not fits(kernel=without, dropout=0.1) and not fits(kernel=without, softcap=2.0)
    assert not fits((1, 4, 7, 12)) and not fits((1, 4, 7, 264)) and fits((1, 4, 7, 256))
    assert not fits((1, 4, 7, 192), width=128), "DeepSeek's values are narrower than its keys"


def test_autocast_is_applied(tiny_llama: Path) -> None:
    """Weights in fp32 under autocast: the kernel, which is no autocast operation, gets bf16."""
    dtypes = []

    def function(query: torch.Tensor, *arguments: Any, **options: Any) -> torch.Tensor:
        dtypes.append(query.dtype)
        return KERNELS["flash_attn_2"].function(query, *arguments, **options)

    kernel = dataclasses.replace(KERNELS["flash_attn_2"], function=function, device="cpu")
    model = load(tiny_llama, kernel)
    with torch.no_grad():
        model(**concatenated(random_sequences()))
        assert dtypes == []
        with torch.autocast("cpu", torch.bfloat16):
            model(**concatenated(random_sequences()))
    assert dtypes == [torch.bfloat16] * 2


def cuda_kernel(make: Callable[[], varlen.Kernel | None]) -> varlen.Kernel:
    if not torch.cuda.is_available() or not varlen.has_hardware():
        pytest.skip("no CUDA device from Ampere on")
    kernel = make()
    if kernel is None:
        pytest.skip("this kernel is not installed")
    return kernel


@pytest.mark.gpu
@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("dimension", [16, 64, 128, 256])
@pytest.mark.parametrize("window", [None, 6])
@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize("make", [varlen.flash_attn_kernel, varlen.torch_kernel])
def test_cuda_kernels(
    make: Callable[..., Any], softcap: float | None, window: int | None, dimension: int, grouped: bool
) -> None:
    """Output and gradients in bf16 against the loop in fp64."""
    kernel = cuda_kernel(make)
    if softcap is not None and not kernel.softcap:
        pytest.skip("this kernel knows no softcap")
    generator = torch.Generator().manual_seed(3)
    bounds = torch.tensor([0, *LENGTHS]).cumsum(0).int()
    heads = (4, 2 if grouped else 4, 2 if grouped else 4)
    shapes = [(int(bounds[-1]), count, dimension) for count in heads]
    inputs = [torch.randn(shape, generator=generator).bfloat16().double().requires_grad_() for shape in shapes]
    left = -1 if window is None else window - 1
    expected = exact(*inputs, bounds.tolist(), dimension**-0.5, left, 0, softcap or 0.0)
    expected.square().sum().backward()
    on_gpu = [tensor.detach().cuda().bfloat16().requires_grad_() for tensor in inputs]
    options = {"causal": True, "scaling": None, "window": window, "dropout": 0.0, "softcap": softcap}
    out = kernel.function(*on_gpu, bounds.cuda(), max(LENGTHS), **options)
    out.float().square().sum().backward()
    torch.testing.assert_close(out.double().cpu(), expected, rtol=0.02, atol=0.02)
    for found, reference in zip(on_gpu, inputs, strict=True):
        error = (found.grad.double().cpu() - reference.grad).norm() / reference.grad.norm()
        assert error < 0.02
