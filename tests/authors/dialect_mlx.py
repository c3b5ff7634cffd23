"""Configurations of MLX LM: what `mlx_lm.lora --config x.yaml` reads is read by `tunesmith train x.yaml`."""

from tunesmith import hookimpl, plugin
from tunesmith.errors import choices
from tunesmith.types import Translation
from tunesmith_library_configuration.drafting import Draft

SAME = {
    "model": "model.path",
    "seed": "seed",
    "adapter_path": "output_dir",
    "iters": "trainer.max_steps",
    "batch_size": "trainer.per_device_train_batch_size",
    "learning_rate": "trainer.learning_rate",
    "steps_per_report": "trainer.logging_steps",
    "steps_per_eval": "trainer.eval_steps",
    "save_every": "trainer.save_steps",
    "grad_checkpoint": "trainer.gradient_checkpointing",
    "max_seq_length": "stage.max_length",
}
DROPPED = {"train": "the command says it.", "val_batches": "all examples are evaluated."}
DEFAULTS = {"seed": 0, "batch_size": 4, "iters": 1000, "learning_rate": 1e-5, "max_seq_length": 2048, "data": "data/"}
LORA = {"rank": 8, "scale": 10.0, "dropout": 0.0}


@plugin
class Mlx:
    """Read what MLX LM trains a LoRA with."""

    claims = frozenset({"iters", "lora_parameters", "fine_tune_type", "steps_per_report"})

    @hookimpl
    def translate_config(self, config):
        if not self.claims & config.keys():
            return None
        draft = Draft(config, DEFAULTS)
        for theirs, ours in SAME.items():
            if draft.get(theirs) is not None:
                draft.put(ours, draft.get(theirs), theirs)
        draft.put("stage.train_on_prompt", not config.get("mask_prompt"), "mask_prompt")
        draft.put("data.train", [f"{str(draft.get('data')).rstrip('/')}/train.jsonl"], "data")
        kind, lora = config.get("fine_tune_type", "lora"), {**LORA, **(config.get("lora_parameters") or {})}
        if kind in ("lora", "dora"):
            of = {"rank": lora["rank"], "alpha": lora["scale"] * lora["rank"], "dropout": lora["dropout"]}
            draft.put("adapter", {"name": "lora", "dora": kind == "dora", **of}, "lora_parameters")
        else:
            draft.refuse("fine_tune_type", choices(str(kind), ["lora", "dora"]))
        for theirs in config.keys() - SAME.keys() - {"data", "mask_prompt", "fine_tune_type", "lora_parameters"}:
            outcome, why = ("dropped", DROPPED[theirs]) if theirs in DROPPED else ("refused", "it is not read.")
            draft.note(theirs, outcome, why, "" if theirs in DROPPED else choices(theirs, [*SAME, *DROPPED]))
        return Translation(draft.config, draft.sources, "train", tuple(draft.notes))
