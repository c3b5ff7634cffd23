"""The prompts of a configuration's evaluation sets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tunesmith.assemble import assemble
from tunesmith.compose import Composition
from tunesmith.errors import ConfigError
from tunesmith.types import Encoder, Row
from tunesmith_library_evaluating.prompts import Prompt, prompts_of_rows
from tunesmith_library_media.texts import row_text


def prompts_of(composition: Composition) -> list[Prompt]:
    """The prompts of `data.eval`, read by the plugins that a training would read it with.

    Raises: ConfigError when there are no evaluation sets; DataError for rows that are no conversations.
    """
    data = composition.tree.get("data", {})
    if not data.get("eval"):
        raise ConfigError("There is nothing to predict: data.eval is empty.\nwrite data.eval=[test.json]")
    data["train"] = data["eval"]  # the run's training data is not read, but some must be there
    for name in ("val_size", "streaming"):
        data.pop(name, None)
    run = assemble(composition, "show" if composition.tree.get("model") else "eval")  # without, it runs elsewhere
    unbound: Any = None
    encoder = Encoder(_as_json, unbound, unbound, "canonical rows")
    splits = run.hook.build_dataset(fetch=run.fetch, to_rows=run.to_rows, encode=encoder)
    sets = {name: [json.loads(str(rows[at]["row"])) for at in range(len(rows))] for name, rows in splits.eval.items()}
    return [prompt for prompts in prompts_of_rows(sets).values() for prompt in prompts]


def _as_json(rows: Sequence[Row], processor: Any, template: Any) -> dict[str, list[str]]:
    """In place of a stage's encoding: the rows themselves, as text, since their shapes differ."""
    return {"row": [row_text(row) for row in rows]}
