"""A model whose weights are spread over processes, computed by each of them at its own pace: while it answers.

Answers end at different times, so that one process computes more forward passes than another, and each pass of a spread
model waits for all processes. Where they fit, the weights are whole on each process meanwhile, and what spreads them
keeps out. Else the passes are kept in step: each process tells the others when it computes one, and one that has ended
computes some that nobody reads until all have.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any, cast

import torch
from torch import nn
from torch.distributed.fsdp import FSDPModule
from tunesmith import announce
from tunesmith_library_estimates.room import Room, of_accelerator, of_host
from tunesmith_library_estimates.sizes import in_words
from tunesmith_library_weights.cut import is_cut, size_of

from tunesmith_library_training import processes, zero

_SPREADING = ("torch.distributed.", "deepspeed.")  # whose hooks gather weights at a forward pass
_NOTES = ("__composable_api_state_key", "_tunesmith_spread")  # of torch and of `sharding`, on a spread module
_PACE = "_tunesmith_pace"  # of a model, once it was decided
_BESIDE = 2  # times the weights that there must be room for: what is learned with them, and the cache of answers


def pace_of(model: Any, room: Callable[[Any], Room | None] | None = None) -> Callable[[], AbstractContextManager[None]]:
    """How each process computes a model at its own pace, decided and said once a model. All processes call it.

    Args:
        model: that is trained, as the hook `place` gave it.
        room: gives the memory that a process has on a device; by default all of it.

    Returns: what makes a context, in which each process calls the model as often as it likes; all enter it together.
    """
    if not is_spread(model):
        return nullcontext
    if _PACE not in vars(model):
        vars(model)[_PACE] = whole_weights if _fit(model, room or _room_of) else in_step
    chosen: Callable[[Any], AbstractContextManager[None]] = vars(model)[_PACE]
    return lambda: chosen(model)


def _fit(model: Any, room: Callable[[Any], Room | None]) -> bool:
    """Whether all weights fit into the memory of each process."""
    there, needed = room(model.device), _BESIDE * sum(map(_bytes_of, model.parameters()))
    fits = there is None or there.holds(needed)
    if not processes.any_of(not fits):
        announce("weights while the model answers", "whole on each process", f"{in_words(needed / _BESIDE)}, which fit")
        return True
    what = f"with as much beside them {in_words(needed)} do not fit into the memory of a process"
    announce("weights while the model answers", "spread; the processes compute each token together", what)
    return False


def is_spread(model: Any) -> bool:
    """Whether a process has a part of the model's weights only."""
    modules: Callable[[], Iterator[Any]] = getattr(model, "modules", lambda: iter(()))
    return any(isinstance(module, FSDPModule) for module in modules()) or any(True for _ in _partitioned(model))


@contextmanager
def whole_weights(model: nn.Module) -> Iterator[None]:
    """Have all weights of a spread model whole on each process; one that is not spread is left as it is.

    All processes enter it together. Weights are not to be changed within.
    """
    with ExitStack() as stack:
        spread = [module for module in model.modules() if isinstance(module, FSDPModule)]
        for module in spread:
            stack.callback(module.reshard)
            module.unshard()
        partitioned = [weight for weight in _partitioned(model) if weight.numel() != size_of(weight)]
        if partitioned:  # and not gathered by TRL, in whose loop the model answers
            stack.enter_context(zero.together(partitioned, changed=False))
        stack.enter_context(left_alone(model))
        yield


@contextmanager
def in_step(model: nn.Module) -> Iterator[None]:
    """Compute as many forward passes of a spread model on each process as on that which computes the most.

    All processes enter it together, and leave it when all are done. Without gradients.
    """
    inner: Any = getattr(model, "get_base_model", lambda: model)()
    root = cast(Any, model) if isinstance(model, FSDPModule) else None
    _pass(model)  # FSDP takes the module that is called first for the outermost
    if root is not None:
        root.unshard()  # embeddings and the output head, for those that call the model within an adapter's
    telling = inner.register_forward_pre_hook(_tell)
    try:
        yield
    finally:
        telling.remove()
    while _told(False):
        _pass(inner)
    if root is not None:
        root.reshard()
        if hasattr(root, "reset_iter_state"):  # passes without a backward pass would be remembered
            root.reset_iter_state()


@contextmanager
def left_alone(model: nn.Module) -> Iterator[None]:
    """Keep out what gathers weights at a forward pass, and takes them away behind it."""
    held = []
    for module in model.modules():
        # torch has no public way to silence a hook of others
        for hooks in (module._forward_pre_hooks, module._forward_hooks, module._state_dict_pre_hooks):
            theirs = {key for key, hook in hooks.items() if _spreads(hook)}
            if theirs:
                held.append((hooks, list(hooks.items()), theirs))
                for key in theirs:
                    del hooks[key]
    try:
        yield
    finally:
        for hooks, former, theirs in held:
            before = [(key, hook) for key, hook in former if key in theirs or key in hooks]
            since = [(key, hook) for key, hook in hooks.items() if key not in dict(former)]
            hooks.clear()
            hooks.update([*before, *since])


@contextmanager
def copied_plain(model: nn.Module, memory: dict[int, Any]) -> Iterator[None]:
    """Let `copy.deepcopy(model, memory)` give a plain model of one that FSDP spreads.

    Args:
        memory: with whole weights by the `id` of spread ones; what is not to be copied is added.
    """
    spread = [(module, type(module)) for module in model.modules() if isinstance(module, FSDPModule)]
    for module in (model, *(module for module, _ in spread)):
        notes = (value for name, value in vars(module).items() if name.startswith(_NOTES))
        memory.update((id(note), None) for note in notes)
    with left_alone(model):
        for module, kind in spread:
            module.__class__ = kind.__mro__[2]  # as FSDPModule.__new__ finds it: behind FSDP's two classes
        try:
            yield
        finally:
            for module, kind in spread:
                module.__class__ = kind


def _spreads(hook: Any) -> bool:
    function = getattr(hook, "hook", None) or getattr(hook, "func", None) or hook
    return str(getattr(function, "__module__", "")).startswith(_SPREADING)


def _partitioned(model: Any) -> Iterator[Any]:
    """The weights that ZeRO-3 has divided."""
    weights: Callable[[], Iterator[Any]] = getattr(model, "parameters", lambda: iter(()))
    return (weight for weight in weights() if is_cut(weight))


def _bytes_of(weight: Any) -> int:
    """Of a whole weight."""
    return size_of(weight) * int(weight.element_size())


def _told(computes: bool) -> bool:
    """Whether a process computes a forward pass now; all tell it, in this order: one that does computes it next."""
    return processes.summed([float(computes)])[0] > 0


def _tell(*_: Any) -> None:
    """Before a forward pass; what a hook returns would be taken for its arguments."""
    _told(True)


def _pass(model: Any) -> None:
    """A forward pass that nobody reads."""
    with torch.no_grad():
        model(input_ids=torch.zeros(1, 1, dtype=torch.int64, device=model.device), use_cache=False)


def _room_of(device: torch.device) -> Room | None:
    if device.type == "cpu":
        return of_host(int(os.environ.get("LOCAL_WORLD_SIZE", processes.count())))
    kind: Any = getattr(torch, device.type, None)
    if not hasattr(kind, "get_device_properties"):
        return None
    return of_accelerator(float(kind.get_device_properties(device).total_memory))
