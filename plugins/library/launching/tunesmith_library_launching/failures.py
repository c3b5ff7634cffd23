"""Why a run of several processes failed: the first real cause among what its processes say.

A process that ends takes the connections of the others along, and often it is these that end first, with an error
that says nothing but that. Such a follow-up is the cause only where no other is found.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

MISTAKE = 2  # exit code of a process that has said what its user is to mend
_LINES = 200  # that are shown of a traceback
_FOLLOWS = re.compile(
    r"gloo|connection (closed|reset)|broken pipe|socket timeout|failed to recv|TCPStore|"
    r"NCCL|ncclRemoteError|watchdog|Dist(Backend|Network|Store)Error|peer (closed|is gone)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Failure:
    """How one process ended."""

    rank: int
    host: str
    code: int  # exit code, as a shell has it
    time: float  # seconds since the epoch, by the clock of its machine
    text: str = ""  # its traceback, or the end of what it said
    told: bool = False  # whether its user heard it already
    follows: bool = False  # whether it says only that another one went away
    hung: bool = False  # whether all processes wait; then the text says for which
    lost: bool = False  # whether a whole machine went away; then the text says which

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def short(self) -> str:
        """`rank 1 on gpu-a: ValueError: a bad day`."""
        if self.hung or self.lost:
            return self.text.partition("\n")[0]
        last = next((line.strip() for line in reversed(self.text.splitlines()) if line.strip()), "")
        return f"rank {self.rank} on {self.host}: {_killed(self.code) or last or f'exit code {self.code}'}"

    def described(self) -> str:
        """What its user is told: which process, how it ended, and what it said."""
        if self.hung or self.lost:
            first, _, rest = self.text.partition("\n")
            return f"{first}, so that the run was ended\n{rest}".rstrip()
        ended = _killed(self.code) or f"failed with exit code {self.code}"
        heading = f"rank {self.rank} on {self.host} {ended}, so that the others were ended"
        text = "" if self.told else "\n".join(self.text.rstrip().splitlines()[-_LINES:])
        return f"{heading}; the end of what it said:\n{text}" if text else heading


def _killed(code: int) -> str:
    """`was killed by SIGKILL`; empty when it ended by itself."""
    if code <= 128 or code - 128 not in {member.value for member in signal.Signals}:
        return ""
    advice = " (memory may have run out: dmesg)" if code == 128 + 9 else ""
    return f"was killed by {signal.Signals(code - 128).name}{advice}"


def is_follow_up(errors: Iterable[BaseException]) -> bool:
    """Whether one of an exception and its causes only says that another process went away."""
    return any(_FOLLOWS.search(f"{type(error).__name__}: {error}") for error in errors)


def cause(failures: Sequence[Failure]) -> Failure:
    """The first of several that is no follow-up of another; the first of all when there is none such."""
    return min(failures, key=lambda failure: (failure.follows, failure.time))
