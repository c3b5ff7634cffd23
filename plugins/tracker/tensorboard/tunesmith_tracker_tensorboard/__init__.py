"""Runs in TensorBoard: `tensorboard --logdir runs` shows all of them."""

from __future__ import annotations

from typing import Annotated, ClassVar

from tunesmith import plugin
from tunesmith.ranges import folder_in_run
from tunesmith_library_tracking import Sink, Tracked


@plugin
class TensorBoard(Tracked):
    """Writes event files of TensorBoard: curves, hyper-parameters, tables of evaluations."""

    program: ClassVar[str] = "tensorboard"
    package: ClassVar[str] = "tensorboard"
    install: ClassVar[str] = "pip install tensorboard"

    folder: Annotated[str, folder_in_run] = "tensorboard"  # of the event files, in the run's folder

    def sink(self) -> Sink:
        from .sink import TensorBoardSink

        return TensorBoardSink(self.folder)
