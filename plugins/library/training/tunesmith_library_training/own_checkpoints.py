"""Checkpoints of a transformers Trainer that hold no pickle, come to their place as a whole, and obey new options.

transformers still reads the weights, and the files of checkpoints that it wrote itself, with torch's restricted loader.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch.optim.lr_scheduler import LambdaLR
from tunesmith import announce

from tunesmith_library_training import states

if TYPE_CHECKING:
    from transformers import Trainer

    from tunesmith_library_training.envelope import Run
else:
    Trainer = object

_STATE = "training_state"  # a folder: whoever serves a checkpoint takes all safetensors beside config.json for weights
OPTIMIZER, SCHEDULER = f"{_STATE}/optimizer.safetensors", f"{_STATE}/scheduler.safetensors"
SCALER, RANDOM, PROGRESS = f"{_STATE}/scaler.safetensors", f"{_STATE}/random.safetensors", "trainer_state.json"
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


class OwnCheckpoints(Trainer):
    """A loop that writes its checkpoints itself: `class Loop(OwnCheckpoints, Trainer)`, with arguments of `OneDevice`.

    A sharded model's are left to transformers, which gathers or spreads them.
    """

    run: Run
    args: Any  # of `OneDevice`
    optimizer: Any
    lr_scheduler: Any
    asked: list[dict[str, Any]]  # the optimizer's options by group, as the run's configuration has them

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
        if not (_internal_call and self.args.holds_whole_model):
            super().save_model(output_dir, _internal_call)

    def write_checkpoint(self, folder: Path, random: list[Any]) -> None:
        """Write everything that the run needs to go on.

        Args:
            random: the states of the random numbers of all processes, in their order.

        Raises: OSError, or what safetensors makes of it, when the disk does not take it.
        """
        self.run.job.model.save_pretrained(folder)
        if self.processing_class is not None:
            self.processing_class.save_pretrained(folder)
        (folder / _STATE).mkdir()
        states.write(folder / OPTIMIZER, self.optimizer.state_dict())
        schedule = {"class": type(self.lr_scheduler).__name__, "state": self.lr_scheduler.state_dict()}
        states.write(folder / SCHEDULER, {**schedule, "peaks": [group["lr"] for group in self.asked]})
        if self.accelerator.scaler is not None:
            states.write(folder / SCALER, self.accelerator.scaler.state_dict())
        states.write(folder / RANDOM, random)
        self.state.save_to_json(str(folder / PROGRESS))

    def restore_checkpoint(self, folder: Path) -> None:
        """Go on with a checkpoint's optimizer, schedule and loss scale, and with the options of now."""
        peaks = None
        if (folder / OPTIMIZER).is_file():
            self.optimizer.load_state_dict(states.read(folder / OPTIMIZER))
            kept = states.read(folder / SCHEDULER)
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
