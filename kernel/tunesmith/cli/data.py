"""`tunesmith data show`: the examples that a run would train on, with the trained tokens marked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
from rich.console import Console
from rich.text import Text
from tunesmith.cli.arguments import ConfigCommand, configured


@click.group()
def data() -> None:
    """Show the examples that a run would train on."""


@data.command(cls=ConfigCommand)
@configured
@click.option("-n", "--count", default=3, show_default=True, help="How many examples.")
def show(config: str | None, overrides: list[str], count: int) -> None:
    """Render examples as the model will see them; the trained tokens are green, or in ⟦ ⟧ without colour."""
    from tunesmith.pipeline import show as encoded

    processor, splits = encoded(config, overrides)
    tokenizer = getattr(processor, "tokenizer", processor)
    console = Console(soft_wrap=True, highlight=False)
    for index in range(min(count, len(splits.train))):
        example = splits.train[index]
        for prefix in _sequences(example):
            ids, labels = list(example[f"{prefix}input_ids"]), list(example[f"{prefix}labels"])
            trained = sum(label != -100 for label in labels)
            console.rule(f"example {index} {prefix.strip('_')}  {len(ids)} tokens, {trained} trained", align="left")
            console.print(_marked(tokenizer, ids, labels, colour=console.is_terminal))
    names = "".join(f", {name}: {len(split)}" for name, split in splits.eval.items())
    console.rule(f"train: {len(splits.train)} examples{names}", align="left")


def _sequences(example: Mapping[str, Any]) -> list[str]:
    """The prefixes of the columns that hold tokens with labels: `""`, or `chosen_` and `rejected_`."""
    prefixes = [name.removesuffix("input_ids") for name in example if name.endswith("input_ids")]
    return [prefix for prefix in prefixes if f"{prefix}labels" in example]


def _marked(tokenizer: Any, ids: list[int], labels: list[int], colour: bool) -> Text:
    """The text of the tokens, run by run of trained and untrained ones."""
    text = Text()
    start = 0
    for position in range(1, len(ids) + 1):
        trained = labels[start] != -100
        if position == len(ids) or (labels[position] != -100) != trained:
            piece = tokenizer.decode(ids[start:position], skip_special_tokens=False)
            if colour:
                text.append(piece, style="bold green" if trained else "dim")
            else:
                text.append(f"⟦{piece}⟧" if trained else piece)
            start = position
    return text
