"""The cluster: one that is there, or one of its own on this machine for as long as the run takes."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tunesmith import TunesmithError, announce
from tunesmith.messages import logger

if TYPE_CHECKING:
    from . import Ray

_STORE = 128 * 2**20  # bytes of shared memory for objects, of which a run has few
_ATTEMPTS = 3  # at starting a cluster
_UNHEARD = ("SIGINT", "SIGHUP")  # that a terminal sends to all that were started from it


@contextlib.contextmanager
def connected(options: Ray, most: int) -> Iterator[bool]:
    """While entered, this process is connected to Ray. Gives whether the cluster is its own.

    Args:
        most: processes for which a cluster of its own has room, though there may be fewer cores.

    Raises: TunesmithError when there is no cluster at the address.
    """
    import ray

    if ray.is_initialized():  # by the program that trains
        yield False
        return
    address = options.address or os.environ.get("RAY_ADDRESS")
    shared: dict[str, Any] = {"log_to_driver": False, "configure_logging": False, "logging_level": "warning"}
    shared |= {"runtime_env": options.runtime_env or None}
    try:
        if address is None:
            _start_own(options, most, shared)
        else:
            _join(address, shared)
        yield address is None
    finally:
        ray.shutdown()


def _start_own(options: Ray, most: int, shared: Mapping[str, Any]) -> None:
    import ray

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    needed = most * options.resources.get("CPU", 1)
    more = {name: most * amount for name, amount in options.resources.items() if name not in ("CPU", "GPU")}
    announce("ray", "a cluster of its own on this machine", "parallel.address and RAY_ADDRESS are not set")
    with _changed_environment(), _terminal_unheard():
        for attempt in range(_ATTEMPTS):
            try:
                ray.init(
                    "local",
                    num_cpus=max(cores, math.ceil(needed)),
                    resources=more or None,
                    object_store_memory=_STORE,
                    include_dashboard=False,
                    **shared,
                )
                return
            except Exception as error:  # of no class of its own: its parts did not find together in time
                if "timed out" not in str(error) or attempt == _ATTEMPTS - 1:
                    raise
                logger.warning("Ray did not start in time, as on a machine that has much to do; once more")


def _join(address: str, shared: Mapping[str, Any]) -> None:
    import ray

    try:
        ray.init(address, **shared)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise TunesmithError(
            f"there is no Ray cluster at {address}: {error}\n"
            "  ray start --head on one machine, ray start --address=HEAD:6379 on the others;"
            " without parallel.address and RAY_ADDRESS the run has a cluster of its own on this machine"
        ) from error
    machines, has = sum(node["Alive"] for node in ray.nodes()), ray.cluster_resources()
    what = f"{machines} machines, {has.get('CPU', 0):g} CPUs, {has.get('GPU', 0):g} GPUs"
    announce("ray", f"the cluster at {address}", what)


@contextlib.contextmanager
def _changed_environment() -> Iterator[None]:
    """Ray sends reports of its use to its makers unless it is told not to, and words that the user did not ask for."""
    own = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    missing = {name: value for name, value in own.items() if name not in os.environ}
    os.environ.update(missing)
    try:
        yield
    finally:
        for name in missing:
            os.environ.pop(name, None)


@contextlib.contextmanager
def _terminal_unheard() -> Iterator[None]:
    """What is started meanwhile does not hear the terminal: Ray goes on while the processes save."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in _UNHEARD if hasattr(signal, name)]
    former = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def gpus() -> int:
    """How many GPUs the cluster has.

    Raises: TunesmithError when there are none.
    """
    import ray

    count = int(ray.cluster_resources().get("GPU", 0))
    if not count:
        raise TunesmithError(
            "parallel.processes: one per GPU was asked for, and the cluster has none.\n"
            "write parallel.processes=2 for two processes on its CPUs"
        )
    return count


def held() -> str:
    """What each machine has, and what is free of all, for an error."""
    import ray

    lines = []
    for node in ray.nodes():
        has = node["Resources"] if node["Alive"] else {}
        amounts = ", ".join(f"{has[name]:g} {name}" for name in ("CPU", "GPU") if name in has)
        lines.append(f"{node['NodeManagerHostname']}: {amounts or 'nothing'}" + ("" if node["Alive"] else ", lost"))
    free = ray.available_resources()
    return "\n  ".join([*lines, "free: " + ", ".join(f"{free.get(name, 0):g} {name}" for name in ("CPU", "GPU"))])
