"""What the launchers of several machines tell one another: who is there, who failed, and what is done about it.

They meet in a store of torch.distributed on the first machine. Nothing of the training goes through it, so it holds
also when the processes that train wait for one another. A run on one machine has a table in its place, without torch.
"""

from __future__ import annotations

import json
import platform
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Protocol

from tunesmith import TunesmithError
from tunesmith.messages import logger

from tunesmith_library_launching import folders
from tunesmith_library_launching.workers import Care, Group

_PAUSE = 0.2  # seconds between two looks
_ANSWER = 30.0  # seconds in which a machine answers that runs
_LEAVING = 10.0  # seconds in which the others take note of the end before the first machine closes the store


class Store(Protocol):
    """What is used of torch.distributed's stores."""

    def set(self, key: str, value: str) -> None: ...
    def get(self, key: str) -> bytes: ...
    def check(self, keys: list[str]) -> bool: ...


class MachineLost(Exception):
    """The first machine, with the store, does not answer any more."""


class Machines:
    """The launchers of a run, as one of them sees them."""

    def __init__(self, group: Group, care: Care) -> None:
        self.group = group
        self._care = care
        self.point, port = address(group.master) if group.master else ("127.0.0.1", 0)  # host of the first machine
        self._store: Store = _Table() if group.machines == 1 else _store(self.point, port, group, care.timeout)
        self._hosts: dict[int, str] = {group.machine: platform.node()}  # of machines that came

    @property
    def is_first(self) -> bool:
        return self.group.machine == 0

    @property
    def is_alone(self) -> bool:
        return self.group.machines == 1

    def host(self, machine: int) -> str:
        """The name of a machine; its number where it has told none."""
        return self._hosts.get(machine, f"number {machine}")

    def meet(self) -> None:
        """Wait until all machines are there, and see that they fit together.

        Raises: TunesmithError, on each that came, with those that did not come, or do not fit.
        """
        if self.is_alone:
            return
        if not self.is_first:
            told = folders.seen(self._care.folder, self.read("folder"), self._care.resume)
            told |= {"host": platform.node(), "count": self.group.count}
            self.write(f"here/{self.group.machine}", told)
            wrong = self.read("start", self._care.timeout)
        else:
            with folders.marked(self._care.folder) as marker:
                self.write("folder", marker)
                wrong = self._unfit()
            self.write("start", wrong)
        if wrong:
            raise TunesmithError(wrong)

    def _unfit(self) -> str:
        """What keeps the machines from starting; empty when nothing does. The first one asks."""
        others = range(1, self.group.machines)
        came = self.wait_for([f"here/{machine}" for machine in others], self._care.timeout)
        told = {machine: came[f"here/{machine}"] for machine in others if f"here/{machine}" in came}
        self._hosts |= {machine: str(each["host"]) for machine, each in told.items()}
        absent = [machine for machine in others if machine not in told]
        if absent:
            names = ", ".join(map(str, absent))
            return (
                f"of {self.group.machines} machines, counted from 0, number {names} did not come to "
                f"{self.group.master} within {self._care.timeout:.0f} s (parallel.timeout).\n"
                "start the same command there, and see that it reaches this address"
            )
        for machine, each in told.items():
            if each["count"] != self.group.count:
                its = f"machine {machine} ({each['host']}) starts {each['count']} processes"
                return f"{its}, and the first one {self.group.count}.\nwrite parallel.processes=N on each"
        wrong, warning = folders.compared(told, self._care)
        if warning and not wrong:
            logger.warning(warning)
        return wrong

    # ---- the store ---------------------------------------------------------------------------------------------------

    def write(self, key: str, value: Any) -> None:
        """Tell all machines.

        Raises: MachineLost.
        """
        self._asked(lambda: self._store.set(key, json.dumps(value)))

    def has(self, *keys: str) -> bool:
        """Whether all of these were told.

        Raises: MachineLost.
        """
        return bool(self._asked(lambda: self._store.check(list(keys))))

    def read(self, key: str, patience: float = _ANSWER) -> Any:
        """What was told, once it is.

        Raises: MachineLost when it is not within `patience` seconds.
        """
        found = self.wait_for([key], patience)
        if key not in found:
            raise MachineLost(f"{self.host(0)} does not answer")
        return found[key]

    def wait_for(self, keys: Sequence[str], patience: float) -> Mapping[str, Any]:
        """What was told of several things within some seconds, by key."""
        deadline = time.monotonic() + patience
        while True:
            there = [key for key in keys if self.has(key)]
            if len(there) == len(keys) or time.monotonic() > deadline:
                return {key: json.loads(self._asked(partial(self._store.get, key))) for key in there}
            time.sleep(_PAUSE)

    def _asked(self, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except (RuntimeError, OSError) as error:  # torch's own errors of stores are RuntimeErrors
            raise MachineLost(f"machine 0 at {self.group.master} does not answer: {error}") from error

    def leave(self) -> None:
        """Say goodbye; the first one keeps the store until all have, so that none looks for it in vain."""
        if self.is_alone:
            return
        try:
            self.write(f"left/{self.group.machine}", True)
            if self.is_first:
                self.wait_for([f"left/{machine}" for machine in self._hosts], _LEAVING)
        except MachineLost:
            return


class _Table:
    """The store of a machine that is alone."""

    def __init__(self) -> None:
        self._told: dict[str, bytes] = {}

    def set(self, key: str, value: str) -> None:
        self._told[key] = value.encode()

    def get(self, key: str) -> bytes:
        return self._told[key]

    def check(self, keys: Iterable[str]) -> bool:
        return all(key in self._told for key in keys)


def _store(host: str, port: int, group: Group, timeout: float) -> Store:
    """The store of all machines: made by the first one, found by the others.

    Raises: TunesmithError when it cannot be made, or is not found in time.
    """
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    first = group.machine == 0
    try:
        if not first:
            _await(host, port, timeout)
        store = TCPStore(
            host, port, is_master=first, wait_for_workers=False, timeout=timedelta(seconds=timeout), use_libuv=True
        )
    except (RuntimeError, OSError) as error:
        last = str(error).splitlines()[0] if str(error) else type(error).__name__
        if first:
            advice = "choose a free port of this machine"
            raise TunesmithError(f"parallel.master={group.master} cannot be used: {last}\n{advice}") from error
        raise TunesmithError(
            f"machine 0 did not come to {group.master} within {timeout:.0f} s (parallel.timeout): {last}\n"
            "start the same command on the first machine, with parallel.node_rank=0"
        ) from error
    store.set_timeout(timedelta(seconds=_ANSWER))
    found: Store = store
    return found


def _await(host: str, port: int, timeout: float) -> None:
    """Wait until something answers at an address. torch would wait twice as long, and print the stack of its own code.

    Raises: OSError when nothing does in time.
    """
    deadline = time.monotonic() + timeout
    while True:
        left = max(deadline - time.monotonic(), _PAUSE)
        try:
            socket.create_connection((host, port), timeout=left).close()
            return
        except OSError:
            if time.monotonic() + _PAUSE > deadline:
                raise
        time.sleep(_PAUSE)


def address(master: str) -> tuple[str, int]:
    """HOST:PORT taken apart; an IPv6 address stands in brackets."""
    host, _, port = master.rpartition(":")
    return host.strip("[]"), int(port)


def free_port() -> int:
    """A port of this machine that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
        return port
