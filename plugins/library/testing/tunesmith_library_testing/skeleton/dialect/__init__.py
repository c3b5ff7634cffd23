"""A dialect: the configurations of another program, which calls some things otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from tunesmith import hookimpl, plugin
from tunesmith.errors import choices
from tunesmith.types import Note, Translation

# The other program's key -> ours.
TABLE = {
    "base_model": "model.path",
    "learning_rate": "trainer.learning_rate",
    "epochs": "trainer.num_train_epochs",
    "lora_rank": "adapter.rank",
}
MEANINGLESS = {"progress_bar": "the console tracker draws one where the output is a terminal."}


@plugin
class Placeholder:
    """Reads the configurations of another program."""

    claims: ClassVar[frozenset[str]] = frozenset({"base_model"})

    @hookimpl
    def translate_config(self, config: Mapping[str, Any]) -> Translation | None:
        if not self.claims & config.keys():
            return None
        made: dict[str, Any] = {"stage": {"name": "sft"}}
        sources: dict[str, str] = {}
        notes: list[Note] = []
        for name, value in config.items():
            if name in TABLE:
                kind, option = TABLE[name].split(".")
                made.setdefault(kind, {})[option] = value
                sources[TABLE[name]] = name
            elif name in MEANINGLESS:
                notes.append(Note(name, "dropped", MEANINGLESS[name]))
            else:
                notes.append(Note(name, "refused", "it is no key of that program.", choices(name, TABLE)))
        return Translation(made, sources, "train", tuple(notes))
