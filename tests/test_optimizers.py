"""Every optimizer of the supported set through `tunesmith.train`: the loss falls, and Ctrl-C costs nothing."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from tunesmith_library_testing.parts import logged

torch = pytest.importorskip("torch")

STEPS = 24
LORA = {"name": "lora", "rank": 8, "modules_to_save": ["lm_head"]}
# name -> (learning rate, options of the optimizer, options of the run)
OPTIMIZERS: dict[str, tuple[float, dict[str, Any], dict[str, Any]]] = {
    "galore": (2e-2, {"rank": 8, "update_proj_gap": 5}, {}),
    "galore-layerwise": (2e-2, {"rank": 8, "layerwise": True}, {"trainer.max_grad_norm": 0}),
    "apollo": (1e-2, {"rank": 8, "update_proj_gap": 5}, {}),
    "apollo_mini": (1e-2, {"update_proj_gap": 5}, {}),
    "badam": (2e-2, {"switch_interval": 4, "include_embedding": True, "include_lm_head": True}, {}),
    "badam-bf16": (
        2e-2,
        {"switch_interval": 4, "include_embedding": True, "include_lm_head": True},
        {"adapter": {"name": "full", "dtype": "bfloat16"}},
    ),
    "badam-ratio": (2e-2, {"mode": "ratio", "update_ratio": 0.25, "switch_interval": 4}, {}),
    "adam_mini": (5e-3, {}, {}),
    "muon": (1e-2, {}, {}),
    "loraplus": (5e-3, {"ratio": 8}, {"adapter": LORA}),
    "adamw8bit": (5e-3, {}, {}),
    "adamw8bit-lora": (1e-2, {"min_8bit_size": 512}, {"adapter": LORA}),
}
QUICK = ("loraplus",)
CASES = [case if case in QUICK else pytest.param(case, marks=pytest.mark.slow) for case in OPTIMIZERS]


def overrides(case: str, model: Path, folder: Path) -> dict[str, Any]:
    """A short run: 24 steps of 4 of 40 short examples, dropout included where there is LoRA."""
    learning_rate, options, more = OPTIMIZERS[case]
    file = folder / "train.json"
    if not file.exists():
        rows = [{"instruction": f"Say {n}.", "output": f"The tide turns {n} times."} for n in range(40)]
        file.write_text(json.dumps(rows))
    return {
        "model.path": str(model),
        "template": "chatml",
        "data": {"train": [str(file)], "cache": False},
        "adapter": "full",
        "optimizer": {"name": case.partition("-")[0], **options},
        "tracker": ["jsonl"],
        "precision": "fp32",
        "trainer": {
            "max_steps": STEPS,
            "per_device_train_batch_size": 4,
            "learning_rate": learning_rate,
            "logging_steps": 1,
        },
        **more,
    }


def weights_of(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    (file,) = folder.glob("*.safetensors")
    return load_file(file)


def interrupting_at(step: int) -> Any:
    """A catalog with one more tracker, which presses Ctrl-C at the end of a step."""
    from tunesmith import hookimpl, plugin
    from tunesmith.catalog import Catalog
    from tunesmith.types import StepEnded

    @plugin
    class Impatient:
        """Interrupts a run."""

        @hookimpl
        def on_event(self, event: object) -> None:
            if isinstance(event, StepEnded) and event.step == step:
                signal.raise_signal(signal.SIGINT)

    return Catalog([*Catalog.discover().entries(), *Catalog.of({"tracker.impatient": Impatient}).entries()])


@pytest.mark.parametrize("case", CASES)
def test_trains_and_resumes(case: str, tiny_llama: Path, tmp_path: Path) -> None:
    """The loss falls by a third; an interrupted and resumed run ends with the same bits."""
    import tunesmith

    options = overrides(case, tiny_llama, tmp_path)
    whole = tunesmith.train(None, {**options, "output_dir": str(tmp_path / "whole")})
    losses = logged(whole)
    assert len(losses) == STEPS
    assert sum(losses[-3:]) < 0.67 * sum(losses[:3]), losses

    cut = {**options, "output_dir": str(tmp_path / "cut")}
    with pytest.raises(KeyboardInterrupt, match="resume=true"):
        tunesmith.train(None, {**cut, "tracker": ["jsonl", "impatient"]}, catalog=interrupting_at(13))
    (checkpoint,) = (tmp_path / "cut").glob("checkpoint-*")
    assert checkpoint.name in ("checkpoint-13", "checkpoint-14")
    assert not list((tmp_path / "cut").glob("*.safetensors"))
    tunesmith.train(None, {**cut, "resume": True})
    first, second = weights_of(whole), weights_of(tmp_path / "cut")
    assert first.keys() == second.keys()
    different = [name for name in first if not torch.equal(first[name], second[name])]
    assert not different


@pytest.mark.parametrize(
    ("optimizer", "adapter", "texts"),
    [
        ("galore", "lora", ["adapter=lora trains none", "adapter=full, or leave the optimizer out"]),
        ("apollo_mini", "lora", ["adapter=lora trains none"]),
        ("badam", "lora", ["adapter=lora trains none of them"]),
        ("loraplus", "full", ["adapter=full has none", "adapter=lora"]),
        (
            {"name": "galore", "layerwise": True},
            "full",
            ["cannot accumulate 2 of them", "cannot clip their norm", "trainer.max_grad_norm=0"],
        ),
    ],
)
def test_conflicts_stop_a_run_before_it_loads(tmp_path: Path, optimizer: Any, adapter: str, texts: list[str]) -> None:
    """All problems at once, with what to do; neither the model nor the data is there."""
    import tunesmith
    from tunesmith.errors import ConfigError

    config = {
        "model": {"path": str(tmp_path / "no-model")},
        "template": "chatml",
        "data": {"train": [str(tmp_path / "no-data.json")]},
        "output_dir": str(tmp_path / "out"),
        "optimizer": optimizer,
        "adapter": adapter,
        "trainer": {"gradient_accumulation_steps": 2},
    }
    with pytest.raises(ConfigError) as error:
        tunesmith.train(config)
    assert [text for text in texts if text not in str(error.value)] == []
    assert not (tmp_path / "out").exists()
