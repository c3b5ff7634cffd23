"""Finds a kernel that is there and can compute a model's attention, or says of each why not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from tunesmith import TunesmithError, announce
from tunesmith_library_training import attention, varlen

ORDER = ("flash_attn", "torch_varlen", "kernels")
"""Of `auto`: what is installed first, a download last."""

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
_INSTEAD = "leave patch.flash_attention out: model.attention=auto then computes it by SDPA, sequence by sequence"


@dataclass(frozen=True)
class Choice:
    """What the user asked for."""

    implementation: str  # auto, or one of ORDER
    repository: str  # of a kernel on the Hugging Face Hub
    version: int  # of this repository

    def require(self) -> None:
        """Raise a TunesmithError, before a model is loaded, where there is no such GPU or no such kernel."""
        if not varlen.has_hardware():
            device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no such GPU"
            raise TunesmithError(
                "patch.flash_attention: its kernels need an NVIDIA GPU, from Ampere on (A100, RTX 30…); "
                f"torch finds {device} here.\n  {_INSTEAD}"
            )
        if self.implementation != "auto":
            self.find(self.implementation)

    def find(self, name: str) -> varlen.Kernel:
        """The kernel of one implementation.

        Raises: TunesmithError that says why it is not there.
        """
        if name == "kernels":
            return hub_kernel(self.repository, self.version)
        kernel = varlen.flash_attn_kernel() if name == "flash_attn" else varlen.torch_kernel()
        if kernel is None and name == "flash_attn":
            raise TunesmithError("flash-attn is not installed (pip install flash-attn)")
        if kernel is None:
            raise TunesmithError(f"torch {torch.__version__} has no varlen_attn with windows and grouped heads")
        return kernel

    def apply(self, model: Any, precision: str) -> None:
        """Let a loaded model attend by the kernel that was chosen.

        Raises: TunesmithError when no kernel that was asked for is there and can compute this model's attention.
        """
        if not attention.takes_attention(model.config):
            kind = model.config.model_type
            raise TunesmithError(f"patch.flash_attention: {kind} computes attention in its own way.\n  leave it out")
        needs = needs_of(model, precision)
        reasons = {}
        for name in ORDER if self.implementation == "auto" else (self.implementation,):
            try:
                kernel = self.find(name)
            except TunesmithError as error:
                reasons[name] = str(error)
                continue
            if not (lacks := list(lacking(kernel, needs))):
                attention.use(model, kernel)
                announce("attention kernel", kernel.name, "patch.flash_attention")
                return
            reasons[name] = f"it does not know {', '.join(lacks)}"
        why = "".join(f"\n  {name}: {reason}" for name, reason in reasons.items())
        raise TunesmithError(f"patch.flash_attention: no kernel for {model.config.model_type} here.{why}\n  {_INSTEAD}")


def hub_kernel(repository: str, version: int) -> varlen.Kernel:
    """A build of the Hugging Face Hub for this machine, downloaded if need be.

    Raises: TunesmithError when it cannot be had, or has no `flash_attn_varlen_func`.
    """
    try:
        from kernels import get_kernel
    except ImportError:
        raise TunesmithError("the package kernels is not installed (pip install kernels)") from None
    try:
        module = get_kernel(repository, version=version)
    except Exception as error:  # of its own kinds, of the network, of the loader
        raise TunesmithError(f"{repository} in version {version} cannot be had: {error}") from error
    function = getattr(module, "flash_attn_varlen_func", None)
    if function is None:
        raise TunesmithError(f"{repository} has no flash_attn_varlen_func; kernels-community/flash-attn2 has")
    return varlen.of_flash_attn(function, repository)


@dataclass(frozen=True)
class Needs:
    """What a model's attention asks of a kernel."""

    dtype: torch.dtype
    width: int  # of a head's queries and keys
    value_width: int  # of a head's values
    softcap: bool
    dropout: bool
    sinks: bool


def needs_of(model: Any, precision: str) -> Needs:
    """Read what a model's attention needs off its configuration, and its sinks off its weights."""
    text = model.config.get_text_config()
    by_heads = text.hidden_size // text.num_attention_heads
    width = getattr(text, "qk_head_dim", None) or getattr(text, "head_dim", None) or by_heads
    return Needs(
        dtype=_DTYPES[precision],
        width=max(width, getattr(text, "global_head_dim", None) or 0),
        value_width=getattr(text, "v_head_dim", None) or width,
        softcap=bool(getattr(text, "attn_logit_softcapping", None)),
        dropout=bool(getattr(text, "attention_dropout", 0.0)),
        sinks=any(name.endswith(".sinks") for name, _ in model.named_parameters()),
    )


def lacking(kernel: varlen.Kernel, needs: Needs) -> Iterator[str]:
    """What a kernel cannot do of what is needed, in words; nothing when it can compute the attention."""
    if needs.dtype not in kernel.dtypes:
        yield str(needs.dtype).removeprefix("torch.")
    if needs.width % 8 or needs.width > kernel.widest:
        yield f"heads {needs.width} wide (multiples of 8, at most {kernel.widest})"
    if needs.value_width != needs.width:
        yield f"values {needs.value_width} wide beside keys of {needs.width}"
    if needs.softcap and not kernel.softcap:
        yield "softcaps"
    if needs.dropout and not kernel.dropout:
        yield "dropout"
    if needs.sinks:
        yield "attention sinks"
