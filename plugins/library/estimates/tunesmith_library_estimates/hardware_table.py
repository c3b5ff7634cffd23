"""What models of 7B to 70B need by each method: LLaMA-Factory's table of hardware, from real configurations.

Each cell is composed, checked and estimated as `tunesmith plan` does it, from the numbers of a published config.json;
beside it stands the figure that LLaMA-Factory's README has for that size, which is the same for every length of data.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tunesmith import TunesmithError
from tunesmith.catalog import Catalog

from tunesmith_library_estimates.estimating import estimate
from tunesmith_library_estimates.estimation import PHASES, Estimate
from tunesmith_library_estimates.machines import Machine
from tunesmith_library_estimates.room import of_accelerator

LENGTH = 2_048  # tokens of the one sequence of a pass
CARDS = (24, 48, 80, 141)  # GB of common ones: RTX 4090, RTX 6000 Ada, H100, H200
_GB = 2**30
_SFT = (
    "template=default",
    "precision=bf16",
    "stage=sft",
    f"stage.max_length={LENGTH}",
    "trainer.per_device_train_batch_size=1",
    "trainer.gradient_accumulation_steps=1",
    "trainer.gradient_checkpointing=true",
)
_FULL = ("adapter=full", "adapter.dtype=bfloat16")
_LAYERWISE = (*_FULL, "optimizer.layerwise=true", "trainer.max_grad_norm=0")


@dataclass(frozen=True)
class Method:
    """A row: how a model is trained."""

    name: str
    bits: int  # of a number of the model, as LLaMA-Factory counts them
    overrides: tuple[str, ...]
    published: tuple[int, ...]  # GB by size


_SIXTEEN = (16, 32, 64, 160)
METHODS = (
    Method("Full, mixed precision", 32, ("adapter=full",), (120, 240, 600, 1200)),
    Method("Full, `dtype=bfloat16`", 16, _FULL, (60, 120, 300, 600)),
    Method("Freeze", 16, ("adapter=freeze",), _SIXTEEN),
    Method("LoRA", 16, ("adapter=lora",), _SIXTEEN),
    Method("GaLore, layerwise", 16, ("optimizer=galore", *_LAYERWISE), _SIXTEEN),
    Method("APOLLO, layerwise", 16, ("optimizer=apollo", *_LAYERWISE), _SIXTEEN),
    Method("BAdam", 16, (*_FULL, "optimizer=badam"), _SIXTEEN),
    Method("OFT", 16, ("adapter=oft",), _SIXTEEN),
    Method("QLoRA, bitsandbytes", 8, ("adapter=lora", "quantizer=bitsandbytes", "quantizer.bits=8"), (10, 20, 40, 80)),
    Method("QLoRA, bitsandbytes", 4, ("adapter=lora", "quantizer=bitsandbytes", "quantizer.bits=4"), (6, 12, 24, 48)),
    Method("QLoRA, HQQ", 2, ("adapter=lora", "quantizer=hqq", "quantizer.bits=2"), (4, 8, 16, 24)),
    Method("QOFT, bitsandbytes", 4, ("adapter=oft", "quantizer=bitsandbytes", "quantizer.bits=4"), (6, 12, 24, 48)),
)


@dataclass(frozen=True)
class Cell:
    """What one size needs by one method."""

    size: str
    model: str
    peak: float | None  # bytes; None where a plugin that it needs is not installed
    published: int  # GB
    made: Estimate | None = None

    @property
    def card(self) -> int | None:
        """GB of the smallest of the common cards that holds it."""
        if self.peak is None:
            return None
        return next((size for size in CARDS if of_accelerator(size * _GB).holds(self.peak)), None)

    @property
    def words(self) -> str:
        """`15.9 GB`; `17.8 GB, loaded 6.1 GB` where loading needs more than what comes after it, by a tenth."""
        if self.peak is None or self.made is None:
            return "–"
        later = max(sum(self.made.bytes(phase).values()) for phase in PHASES if phase != "load")
        return _gigabytes(self.peak) + (f", loaded {_gigabytes(later)}" if later < 0.9 * self.peak else "")


def _gigabytes(size: float) -> str:
    return f"{size / _GB:,.{0 if size > 99 * _GB else 1}f} GB"


def models() -> list[dict[str, Any]]:
    """The models of the columns: size, name, and the numbers of their config.json."""
    file = Path(__file__).parent / "hardware_models.json"
    found: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
    return found


@cache
def table() -> tuple[tuple[Method, tuple[Cell, ...]], ...]:
    """All rows, which take some seconds."""
    catalog = Catalog.discover()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        row = {"instruction": "word " * LENGTH, "output": "word " * LENGTH}  # cut at the length
        (folder / "train.json").write_text(json.dumps([row]), encoding="utf-8")
        for model in models():
            (folder / model["name"]).mkdir()
            (folder / model["name"] / "config.json").write_text(json.dumps(model["config"]), encoding="utf-8")
        return tuple((method, tuple(_cells(method, folder, catalog))) for method in METHODS)


def _cells(method: Method, folder: Path, catalog: Catalog) -> Iterator[Cell]:
    for model, published in zip(models(), method.published, strict=True):
        common = (f"model.path={folder / model['name']}", f"data.train=[{folder / 'train.json'}]", *_SFT)
        asked = [*common, f"output_dir={folder / 'run'}", *method.overrides]
        try:
            made = estimate(None, asked, machine=Machine("a GPU", "cuda"), catalog=catalog)
        except TunesmithError:  # a plugin that is not installed
            yield Cell(model["size"], model["name"], None, published)
            continue
        yield Cell(model["size"], model["name"], made.peak[1], published, made)


def conditions() -> str:
    """What the figures are for."""
    names = ", ".join(f"{model['size']} is {model['name']}" for model in models())
    return (
        f"One sequence of {LENGTH:,} tokens in a pass, bf16, activations computed again, AdamW but where another "
        f"optimizer is named; {names}. The peak of all phases, with what torch and its libraries take themselves; GB "
        "are of 1024³ bytes."
    )


def text() -> str:
    """For a terminal; the published figures in brackets."""
    sizes = [model["size"] for model in models()]
    rows = [["method", "bits", *sizes]]
    for method, cells in table():
        found = [f"{cell.words} ({cell.published})" for cell in cells]
        rows.append([method.name.replace("`", ""), str(method.bits), *found])
    return "\n".join([*_aligned(rows), "", conditions(), "In brackets: LLaMA-Factory's static figure, in GB."])


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        first, *rest = (word.ljust(width) for word, width in zip(row, widths, strict=True))
        yield "  ".join([first, *rest]).rstrip()


def markdown() -> str:
    """The same for a page, and the smallest card that holds each."""
    sizes = [model["size"] for model in models()]
    lines = [f"| method | bits | {' | '.join(sizes)} |", "|---" * (len(sizes) + 2) + "|"]
    cards = list(lines)
    for method, cells in table():
        head = f"| {method.name} | {method.bits} |"
        lines.append(f"{head} {' | '.join(f'{cell.words} ({cell.published})' for cell in cells)} |")
        cards.append(f"{head} {' | '.join(_holds(cell) for cell in cells)} |")
    return "\n".join([conditions(), "", *lines, "", "The smallest card that holds it, in GB:", "", *cards])


def _holds(cell: Cell) -> str:
    if cell.peak is None:
        return "–"
    return f"{cell.card}" if cell.card else "several"


def told() -> list[dict[str, Any]]:
    """For programs: bytes, beside the published GB."""
    return [
        {
            "method": method.name.replace("`", ""),
            "bits": method.bits,
            "overrides": list(method.overrides),
            "size": cell.size,
            "model": cell.model,
            "peak": cell.peak,
            "phase": None if cell.made is None else cell.made.peak[0],
            "published_gb": cell.published,
            "card_gb": cell.card,
            "unknown": [] if cell.made is None else list(cell.made.unknown),
        }
        for method, cells in table()
        for cell in cells
    ]
