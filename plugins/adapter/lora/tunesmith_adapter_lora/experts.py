"""Options of LoRA that do not go with fused experts, whose matrices share a parameter; free of torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tunesmith import TunesmithError

if TYPE_CHECKING:
    from tunesmith_adapter_lora import Lora


def unfit(lora: Lora) -> list[tuple[str, str, str]]:
    """The options that experts cannot have: the key, how it is written, and what could be there instead.

    On experts the sum W + s B A is made before anything is multiplied with it, which leaves no input to drop numbers
    of and no output to scale; and starts are computed from the matrix of a layer.
    """
    found = []
    if lora.dropout:
        found.append(("adapter.dropout", f"adapter.dropout={lora.dropout:g}", "adapter.dropout=0"))
    if lora.use_dora:
        found.append(("adapter.use_dora", "adapter.use_dora=true", "adapter.use_dora=false"))
    if lora.init not in (True, False, "gaussian"):
        found.append(("adapter.init", f"adapter.init={lora.init}", "adapter.init=true"))
    return found


def refuse_options(lora: Lora, parameters: Sequence[str]) -> None:
    """Raises: TunesmithError when parameters of experts were chosen together with an option that they cannot have."""
    wrong = unfit(lora) if parameters else []
    if wrong:
        _, options, instead = zip(*wrong, strict=True)
        kinds = sorted({".".join(part for part in name.split(".")[-3:] if not part.isdigit()) for name in parameters})
        raise TunesmithError(
            f"{' and '.join(options)} cannot be had on fused experts ({', '.join(kinds)}), whose matrices share a "
            f"parameter.\n  {', '.join(instead)}, or adapter.exclude_modules=[experts] to adapt the other layers alone"
        )
