"""What is asked of a cluster, whatever kind it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Job:
    """What is asked of a cluster."""

    name: str
    words: tuple[str, ...]  # configuration and overrides of `tunesmith train`
    config: str  # the composed configuration as YAML, without secrets
    output_dir: str
    parallel: bool  # whether the plan starts processes
    nodes: int
    gpus: int | None  # of each machine; None: it is not said
    cpus: int | None
    memory: str | None
    limit: str | None
    grace: int  # seconds from the warning to the end
    partition: str | None
    account: str | None
    qos: str | None
    setup: tuple[str, ...]
    image: str | None
    volumes: tuple[tuple[str, str], ...]  # claim, and where it is mounted
    secrets: tuple[str, ...]
    restarts: int
    folder: Path  # from which it is started
    python: str

    @property
    def overrides(self) -> tuple[str, ...]:
        """What the cluster adds to the configuration."""
        return (f"parallel.processes={self.gpus}",) if self.parallel and self.gpus else ()
