"""A model spread over processes by torch's `fully_shard`, layer by layer.

What is in no layer (embeddings, the last norm, the output head, whatever sees or hears) comes together at the beginning
of a forward pass and stays until the backward pass: the loss is computed within the output head, and a batch of text
leaves out a tower, which others may be waiting for.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import CPUOffloadPolicy, MixedPrecisionPolicy, OffloadPolicy, fully_shard
from tunesmith import TunesmithError, announce
from tunesmith.errors import choices
from tunesmith_library_estimates.sizes import in_words
from tunesmith_library_training import processes, sharding
from tunesmith_library_training.head import unwrap
from tunesmith_library_training.watching import has_single_experts, text_leaves_out
from tunesmith_library_weights.layers import find_layers
from tunesmith_library_weights.training import cast_now

from tunesmith_parallel_fsdp.experts import Divided, divide
from tunesmith_parallel_fsdp.meshes import Meshes, meshes
from tunesmith_parallel_fsdp.tensor import outermost_wrappers, split

if TYPE_CHECKING:
    from tunesmith_parallel_fsdp import Fsdp


def place(options: Fsdp, model: Any, precision: str) -> Any:
    """Spread a model over the processes of the run, in place; a run of one process keeps it.

    Raises: TunesmithError when the processes cannot be divided as asked, or `wrap` names no module.
    """
    processes.join(options._use_cpu)
    if processes.count() == 1:
        announce("parallel", "one process", "there is nothing to spread the model over")
        return None
    _start_alike(model)
    processes.alike(options.tensor)
    options.share_sequences(model)
    again = partial(_spread, divided=meshes(options, _device(options)), options=options, precision=precision)
    again(model)
    held = sum(weight.nbytes for weight in model.parameters())
    kept = sum(sharding.local(weight).nbytes for weight in model.parameters())
    where = "in the host's memory" if options.cpu_offload else "on its device"
    announce("weights", f"{kept / held:.0%} of {in_words(held)} {where} for each process", "parallel=fsdp")
    sharding.mark(model, sharding.Spread("fsdp", again, options.checkpoints, options.background))
    model._is_accelerate_prepared = True  # accelerate, which knows of no FSDP on a CPU, takes it as it is
    return model


def _device(options: Fsdp) -> str:
    """The kind of device that the processes compute on."""
    accelerator = None if options._use_cpu else torch.accelerator.current_accelerator(check_available=True)
    return accelerator.type if accelerator else "cpu"


def _start_alike(model: nn.Module) -> None:
    """Give all processes the trained weights of the first, where they are others: each keeps a part of its own."""
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    sums = [float(weight.detach().sum(dtype=torch.float64)) for weight in trained]
    every = processes.gathered(sums)
    differ = [weight for weight, *found in zip(trained, *every, strict=True) if len(set(found)) > 1]
    processes.start_alike(differ)


def _spread(model: nn.Module, *, divided: Meshes, options: Fsdp, precision: str) -> None:
    half = precision == "bf16" and options.param_dtype == "auto" and not _is_packed(model)
    numbers = MixedPrecisionPolicy(torch.bfloat16, torch.float32) if half else MixedPrecisionPolicy()
    offloads = options.cpu_offload and divided.shards.device_type != "cpu"
    if options.tensor * options.experts > 1:
        cast_now(model)
    experts = divide(model, divided.experts, divided.tensor) if options.experts > 1 else Divided()
    if options.tensor > 1:
        split(model, divided.tensor, left=experts.names)
    shard = partial(
        _shard,
        ignored_params=experts.kept,
        mp_policy=numbers,
        offload_policy=CPUOffloadPolicy() if offloads else OffloadPolicy(),
    )
    for module in experts.modules:
        shard(module, mesh=divided.copies, reshard_after_forward=options.reshard_after_forward)
    shard = partial(shard, mesh=divided.shards)
    for module in _apart(model, options):
        cast_now(module)
        _refuse_mixed(module)
        shard(module, reshard_after_forward=options.reshard_after_forward)
    cast_now(model)
    shard(model)
    _send_unused(model)


def _send_unused(model: Any) -> None:
    """Have weights that a process's batch left out sent as zeros, so that no other process waits for them.

    Raises: TunesmithError when the installed torch cannot, and a batch may leave out weights of this model.
    """
    if hasattr(model, "set_reduce_scatter_unused_params"):
        model.set_reduce_scatter_unused_params(True)
    elif text_leaves_out(model) or has_single_experts(model):
        raise TunesmithError(
            f"parallel=fsdp: a batch may leave out weights of this {type(unwrap(model)).__name__}, for which torch "
            f"{torch.__version__} would wait for ever; 2.13 does not.\n  pip install --upgrade torch, or parallel=ddp"
        )


def _shard(module: nn.Module, mesh: DeviceMesh, **options: Any) -> None:
    """Spread a module over `mesh`, and have its gradients divided by the number of all processes.

    By that number the loss is multiplied; processes that see the same examples, or share experts, count too.
    """
    spread: Any = fully_shard(module, mesh=mesh, **options)
    if mesh.size() < processes.count():
        spread.set_gradient_divide_factor(float(processes.count()))
        spread.set_force_sum_reduction_for_comms(mesh.size() > 1)  # gloo knows no other sum with a factor


def _is_packed(model: nn.Module) -> bool:
    """Whether weights hold the bits of a quantizer, which may look like numbers and must not be rounded."""
    return any(type(weight) is not nn.Parameter or not weight.is_floating_point() for weight in model.parameters())


def _apart(model: nn.Module, options: Fsdp) -> Iterator[nn.Module]:
    """The modules whose weights come together on their own, inner ones first.

    Raises: TunesmithError when there are none of the classes asked for.
    """
    if options.min_num_params:
        yield from _large(model, options.min_num_params)
        return
    if not options.wrap:
        yield from _layers(model)
        return
    classes = {type(module).__name__ for module in model.modules()}
    for name in options.wrap:
        if name not in classes:
            raise TunesmithError(f"parallel.wrap={name}: the model has no such module.\n  {choices(name, classes)}")
    outermost = outermost_wrappers(model)
    named = (module for module in reversed([*model.modules()]) if type(module).__name__ in options.wrap)
    yield from (outermost.get(id(module), module) for module in named)


def _layers(model: nn.Module) -> Iterator[nn.Module]:
    try:
        _, layers = find_layers(unwrap(model))
    except (AttributeError, TunesmithError) as error:
        raise TunesmithError(
            f"parallel=fsdp: the layers of this model are not found ({error}).\n"
            "  name their class: parallel.wrap='[…DecoderLayer]', or parallel.min_num_params=100000000"
        ) from error
    yield from layers


def _large(model: nn.Module, least: int) -> Iterator[nn.Module]:
    """Inner modules first, those with at least so many weights that are in none before."""
    taken: set[int] = set()
    outermost = outermost_wrappers(model)
    for module in reversed([*model.modules()][1:]):
        own = {id(weight): weight.numel() for weight in module.parameters() if id(weight) not in taken}
        callable_itself = not isinstance(module, nn.ModuleList | nn.ModuleDict)
        if callable_itself and sum(own.values()) >= least:
            taken |= own.keys()
            yield outermost.get(id(module), module)


def _refuse_mixed(module: nn.Module) -> None:
    numbers = {weight.dtype for weight in module.parameters() if weight.requires_grad}
    if len(numbers) > 1:
        held = " and ".join(sorted(str(dtype).removeprefix("torch.") for dtype in numbers))
        raise TunesmithError(
            f"parallel=fsdp: the trained weights of a {type(module).__name__} are in {held}, and are sent together.\n"
            "  adapter.dtype=float32"
        )
