"""Checkpoints of a transformers Trainer that hold no pickle, come to their place as a whole, and obey new options.

transformers still reads the weights, and the files of checkpoints that it wrote itself, with torch's restricted loader.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.optim.lr_scheduler import LambdaLR
from tunesmith import TunesmithError, announce

from tunesmith_library_training import processes, shard_files, states, zero
from tunesmith_library_training.mesh_groups import MeshGroups
from tunesmith_library_training.saving import GATHERED_FILE
from tunesmith_library_training.sharding import (
    gathered_nested,
    gathered_weights,
    saved_weights,
    spread_of,
    take_parts,
    with_parts_apart,
    with_parts_empty,
)

if TYPE_CHECKING:
    from transformers import Trainer

    from tunesmith_library_training.envelope import Run
else:
    Trainer = object

_STATE = "training_state"  # a folder: whoever serves a checkpoint takes all safetensors beside config.json for weights
OPTIMIZER, SCHEDULER = f"{_STATE}/optimizer.safetensors", f"{_STATE}/scheduler.safetensors"
SCALER, RANDOM, PROGRESS = f"{_STATE}/scaler.safetensors", f"{_STATE}/random.safetensors", "trainer_state.json"
_PARTS = f"{_STATE}/parts"  # a folder of `shard_files`, of a model that is spread
_WEIGHT, _OF_OPTIMIZER = "weights.", "optimizer."  # how the names in it begin
_OPTIONS = ("initial_lr", "weight_decay", "betas", "eps", "momentum")  # of an optimizer, that are no state of it


def settle_decay(arguments: Any, steps: int) -> None:
    """Have `warmup_stable_decay` fall over two thirds of the steps after the warm-up, where it is not told how many."""
    given = dict(arguments.lr_scheduler_kwargs or {})
    if str(getattr(arguments.lr_scheduler_type, "value", arguments.lr_scheduler_type)) != "warmup_stable_decay":
        return
    if given.get("num_decay_steps") is None:
        rest = max(steps - arguments.get_warmup_steps(steps), 0)
        falling = given["num_decay_steps"] = rest - rest // 3
        arguments.lr_scheduler_kwargs = given
        announce("learning rate", f"falls over the last {falling} of {steps} steps", "num_decay_steps is not given")


@dataclass(frozen=True)
class Contents:
    """What a checkpoint is to hold, as it was at a step."""

    states: dict[str, Any]  # by file; of a model that is spread on the main process
    progress: Any  # transformers' state of a Trainer
    weights: dict[str, torch.Tensor] | None = None  # gathered, on the main process
    parts: dict[str, torch.Tensor] | None = None  # that each process writes its own of


class OwnCheckpoints(Trainer):
    """A loop that writes its checkpoints itself: `class Loop(OwnCheckpoints, Trainer)`, with arguments of `OneDevice`.

    Those of a model that transformers spreads are left to it.
    """

    run: Run
    args: Any  # of `OneDevice`
    optimizer: Any
    lr_scheduler: Any
    asked: list[dict[str, Any]]  # the optimizer's options by group, as the run's configuration has them
    given: list[list[torch.Tensor]]  # the optimizer's weights by group, of which ZeRO gives it pieces later
    mesh_groups: MeshGroups | None = None  # where the optimizer has other groups than that of one process

    def train(self, *arguments: Any, **options: Any) -> Any:
        """Train; of a model that DeepSpeed trains, too, weights are read from checkpoints of ours."""
        with zero.loading_by(self._load_cut):
            return super().train(*arguments, **options)

    def create_optimizer(self, model: Any = None) -> Any:
        """The optimizer; what it steps is noted."""
        grouped_here = self.optimizer is None
        made = super().create_optimizer(model)
        if not zero.is_stepping(made):
            self.given = [list(group["params"]) for group in made.param_groups]
            if grouped_here:
                self.mesh_groups = MeshGroups.found(self.given, self._groups_of_one(model))
        return made

    def _groups_of_one(self, model: Any) -> list[list[torch.Tensor]]:
        """The trained weights as transformers groups them in one process: with decay, and without."""
        opened: Any = self.model if model is None else model
        decayed = {*self.get_decay_parameter_names(opened)}
        trained = [(name, weight) for name, weight in opened.named_parameters() if weight.requires_grad]
        return [[weight for name, weight in trained if (name in decayed) == decays] for decays in (True, False)]

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """The schedule; what the optimizer was asked for is noted, before a checkpoint's state takes its place."""
        settle_decay(self.args, num_training_steps)
        made = super().create_scheduler(num_training_steps, optimizer)
        groups: Any = self.optimizer.param_groups if optimizer is None else optimizer.param_groups
        self.asked = [
            {"lr": group.get("initial_lr", group["lr"]), **{name: group[name] for name in _OPTIONS if name in group}}
            for group in groups
        ]
        return made

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Leave a checkpoint's weights to `write_checkpoint`, which is called when transformers has done its part."""
        if not (_internal_call and self.args.writes_own_checkpoints):
            super().save_model(output_dir, _internal_call)

    def contents(self) -> Contents:
        """What a checkpoint of now is to hold. All processes call it: what is spread is gathered, or copied."""
        model, spread = self.run.job.model, spread_of(self.run.job.model)
        optimizer, weights, parts = None, None, None
        if zero.is_stepping(self.optimizer):
            optimizer, weights = zero.gathered_states(self.optimizer, self.given), gathered_weights(model)
        elif spread is None:
            optimizer = self._state_of_one()
        elif spread.checkpoints == "whole":
            optimizer, weights = gathered_nested(self._state_of_one()), gathered_weights(model)
        else:
            optimizer, apart = with_parts_apart(self._state_of_one())
            parts = {f"{_WEIGHT}{name}": tensor.detach() for name, tensor in saved_weights(model).items()}
            parts |= {f"{_OF_OPTIMIZER}{name}": tensor for name, tensor in apart.items()}
        schedule = {"class": type(self.lr_scheduler).__name__, "state": self.lr_scheduler.state_dict()}
        schedule["peaks"] = [group["lr"] for group in self.asked]
        if self.mesh_groups is not None:
            schedule = self.mesh_groups.schedule_of_one(schedule)
        found = {OPTIMIZER: optimizer, SCHEDULER: schedule}
        if self.accelerator.scaler is not None:
            found[SCALER] = self.accelerator.scaler.state_dict()
        found[RANDOM] = processes.gathered(states.random_state())
        return Contents(found, replace(self.state, log_history=[*self.state.log_history]), weights, parts)

    def _state_of_one(self) -> Any:
        """The optimizer's state, in the groups of one process."""
        state = self.optimizer.state_dict()
        return state if self.mesh_groups is None else self.mesh_groups.state_of_one(state)

    def write_checkpoint(self, folder: Path, contents: Contents) -> None:
        """Write everything that the run needs to go on, but for the parts that each process writes itself.

        Raises: OSError, or what safetensors makes of it, when the disk does not take it.
        """
        model = self.run.job.model
        if contents.parts is not None:
            model.config.save_pretrained(folder)
        else:
            gathered = {"state_dict": contents.weights, "max_shard_size": GATHERED_FILE}
            model.save_pretrained(folder, **({} if contents.weights is None else gathered))
        if self.processing_class is not None:
            self.processing_class.save_pretrained(folder)
        (folder / _STATE).mkdir(exist_ok=True)
        for name, state in contents.states.items():
            states.write(folder / name, state)
        contents.progress.save_to_json(str(folder / PROGRESS))

    def write_parts(self, folder: Path, contents: Contents, later: bool) -> Callable[[], None]:
        """Write what each process writes itself, in its place; all of them call it.

        Returns: what waits for it, and raises what went wrong.
        """
        if later:
            return shard_files.write_later(folder / _PARTS, contents.parts or {})
        return partial(shard_files.write, folder / _PARTS, contents.parts or {})

    def restore_checkpoint(self, folder: Path) -> None:
        """Go on with a checkpoint's optimizer, schedule and loss scale, and with the options of now."""
        peaks = None
        if (folder / OPTIMIZER).is_file():
            self._take_optimizer_state(folder)
            kept = states.read(folder / SCHEDULER)
            if self.mesh_groups is not None:
                kept = self.mesh_groups.own_schedule(kept)
            peaks = kept["peaks"]
            if kept["class"] == type(self.lr_scheduler).__name__:
                self.lr_scheduler.load_state_dict(kept["state"])
            elif isinstance(self.lr_scheduler, LambdaLR):
                own, step = self.lr_scheduler.state_dict(), self.state.global_step
                self.lr_scheduler.load_state_dict({**own, "last_epoch": step, "_step_count": step + 1})
            if (folder / SCALER).is_file() and self.accelerator.scaler is not None:
                self.accelerator.scaler.load_state_dict(states.read(folder / SCALER))
        self._obey(peaks)
        self.state.compute_steps(self.args, self.state.max_steps)  # how often to log, measure and save

    def _take_optimizer_state(self, folder: Path) -> None:
        """Go on with a checkpoint's state of the optimizer; of weights that are spread, this process's parts.

        Raises: TunesmithError when the checkpoint holds parts of it that DeepSpeed has no place for.
        """
        if zero.is_stepping(self.optimizer):
            if (folder / _PARTS).is_dir():
                raise TunesmithError(
                    f"{folder} holds the parts that the processes of a run with parallel=fsdp wrote, which DeepSpeed "
                    "does not read.\n  resume with parallel=fsdp; parallel.checkpoints=whole writes what any run reads"
                )
            zero.take_states(self.optimizer, self.given, states.read(folder / OPTIMIZER))
        else:
            self.optimizer.load_state_dict(self._optimizer_state(folder))

    def _load_cut(self, folder: str) -> None:
        """A checkpoint's weights, into a model that DeepSpeed trains, and what its optimizer steps."""
        model = self.run.job.model
        if hasattr(model, "peft_config"):
            with zero.together(weight for weight in model.parameters() if weight.requires_grad):
                self._load_from_checkpoint(folder, model)
            zero.take_copies(model.parameters())
        else:
            zero.load_weights(model, Path(folder))

    def _optimizer_state(self, folder: Path) -> Any:
        kept = states.read(folder / OPTIMIZER)
        if self.mesh_groups is None:
            weights = [weight for group in self.optimizer.param_groups for weight in group["params"]]
        else:
            kept, weights = self.mesh_groups.own_state(kept)
        state = take_parts(kept, weights)
        if (folder / _PARTS).is_dir():
            state, parts = with_parts_empty(state, weights)
            shard_files.read(folder / _PARTS, {f"{_OF_OPTIMIZER}{name}": tensor for name, tensor in parts.items()})
        return state

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """A checkpoint's weights; transformers, which calls it, knows no parts."""
        parts = Path(resume_from_checkpoint, _PARTS)
        if not parts.is_dir():
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        weights = saved_weights(self.run.job.model)
        shard_files.read(parts, {f"{_WEIGHT}{name}": tensor.detach() for name, tensor in weights.items()})

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """`restore_checkpoint` does it; under DeepSpeed transformers would miss the schedule's pickle."""
        if not self.is_deepspeed_enabled:
            super()._load_optimizer_and_scheduler(checkpoint)

    def _obey(self, peaks: list[float] | None) -> None:
        """Put the options of now in the place of those that came with the state.

        Args:
            peaks: the learning rates that the checkpoint's run was given; None when they are not known.
        """
        for group, asked in zip(self.optimizer.param_groups, self.asked, strict=False):
            group.update({name: asked[name] for name in _OPTIONS if name in asked})
        if isinstance(self.lr_scheduler, LambdaLR):  # a function of the step
            base = [group["lr"] for group in self.asked]
            step = self.lr_scheduler.last_epoch
            rates = [rate * factor(step) for rate, factor in zip(base, self.lr_scheduler.lr_lambdas, strict=True)]
            own = self.lr_scheduler.state_dict()
            self.lr_scheduler.load_state_dict({**own, "base_lrs": base, "_last_lr": rates})
            for group, rate in zip(self.optimizer.param_groups, rates, strict=False):
                group["lr"] = rate
        else:  # made smaller now and then
            for group, asked, peak in zip(self.optimizer.param_groups, self.asked, peaks or [], strict=False):
                if asked["lr"] != peak:
                    group["lr"] *= asked["lr"] / peak
