"""One device for each process, however many the machine has."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import TrainingArguments as Base
else:
    Base = object


class OneDevice(Base):
    """Put before transformers' TrainingArguments, or a configuration derived from them, in a class's bases."""

    @property
    def n_gpu(self) -> int:
        """At most 1: nn.DataParallel, which transformers would take for more, splits concatenated batches wrongly."""
        found: int = super().n_gpu
        return min(1, found)

    @property
    def writes_own_checkpoints(self) -> bool:
        """Whether a checkpoint is what we make of the model at hand, and not what transformers' FSDP has spread."""
        return not self.fsdp

    @property
    def should_save(self) -> bool:
        """Whether transformers writes checkpoints from this process; those of a whole model are `OwnCheckpoints`."""
        found: bool = super().should_save
        return found and not self.writes_own_checkpoints
