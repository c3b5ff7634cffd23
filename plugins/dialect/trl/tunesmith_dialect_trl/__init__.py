"""Configurations of TRL's command line: what `trl sft --config x.yaml` reads is read by `tunesmith train x.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from tunesmith import hookimpl, plugin
from tunesmith.kinds import CONFIGURED
from tunesmith.types import Translation


@plugin
class Trl:
    """Reads the YAML files of `trl sft`, `dpo`, `kto`, `reward`, `grpo` and `rloo`."""

    claims: ClassVar[frozenset[str]] = frozenset(
        (
            *("dataset_name", "datasets", "dataset_config", "dataset_train_split", "dataset_test_split"),
            *("use_peft", "lora_r", "lora_target_modules", "dataset_text_field", "assistant_only_loss", "trl"),
        )
    )

    @staticmethod
    def knows(key: str) -> bool:
        """Whether a flag of this name is one of theirs."""
        from tunesmith_dialect_trl.table import OLD, OWN, TRAINERS, defaults

        return key in OLD or key in OWN or any(key in defaults(trainer) for trainer in TRAINERS)

    @hookimpl
    def translate_config(self, config: Mapping[str, Any]) -> Translation | None:
        if not self.claims & config.keys() or config.keys() & CONFIGURED.keys():
            return None
        from tunesmith_dialect_trl.translating import translate

        return translate(config)
