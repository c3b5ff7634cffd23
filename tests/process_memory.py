"""A private patch with which each process of a run notes how much memory it holds in its steps, beyond what it began
with beside its weights."""

from __future__ import annotations

import ctypes
import gc
import os
import re
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

from tunesmith import hookimpl, plugin
from tunesmith.types import TrainingJob

_ANONYMOUS = re.compile(r"RssAnon:\s*(\d+) kB")
_INTERVAL = 0.003  # seconds


def held() -> float:
    """Bytes of this process that are no file's."""
    found = _ANONYMOUS.search(Path("/proc/self/status").read_text())
    return 1024.0 * int(found[1]) if found else 0.0


@plugin
class Probe:
    """Notes the most that a process held from a forward pass to the end of a step."""

    folder: str  # where each process writes a file

    _began: float = 0.0
    _most: float = 0.0
    _counts: bool = False
    _ended: Any = None

    @hookimpl(wrapper=True)
    def compute_loss(self) -> Generator[None, Any, Any]:
        self._counts = True
        return (yield)

    @hookimpl(wrapper=True)
    def fit(self, job: TrainingJob) -> Generator[None, Any, Any]:
        from torch.optim.optimizer import register_optimizer_step_post_hook

        gc.collect()
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        self._began, self._ended = held() - _weights(job.model), threading.Event()
        watching = threading.Thread(target=self._watch, daemon=True)
        watching.start()
        after = register_optimizer_step_post_hook(lambda *_: self._pause())
        finished = yield
        after.remove()
        self._ended.set()
        watching.join()
        Path(self.folder, os.environ.get("RANK", "0")).write_text(str(self._most))
        return finished

    def _watch(self) -> None:
        while not self._ended.wait(_INTERVAL):
            self._note()

    def _note(self) -> None:
        if self._counts:
            self._most = max(self._most, held() - self._began)

    def _pause(self) -> None:
        """Until the next forward pass: what is written at the end counts to another phase."""
        self._note()
        self._counts = False


def _weights(model: Any) -> float:
    """Bytes of the weights that this process has: of one that is spread its part."""
    found: dict[int, int] = {}
    for tensor in (*model.parameters(), *model.buffers()):
        own = tensor.to_local() if hasattr(tensor, "to_local") else getattr(tensor, "ds_tensor", tensor)
        found[own.untyped_storage().data_ptr()] = own.untyped_storage().nbytes()
    return float(sum(found.values()))
