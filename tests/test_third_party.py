"""A stage from a file of the user's, of which no plugin knows the name: it is trained as the built-in ones are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pluggy
import pytest
import tunesmith
from tunesmith import DataError, hookspecs
from tunesmith.errors import ConfigError
from tunesmith_library_testing.parts import records

STAGE = '''
"""The next token of what an author wrote."""

from tunesmith import hookimpl, plugin
from tunesmith.traits import StageTraits
from tunesmith_library_training.rows import other_stages, require


@plugin
class Mine:
    """Learn texts."""

    traits = StageTraits(reads=("text",), token_loss={token_loss}, streams={token_loss})

    loss_chunk_size: int = 0  # tokens

    _advise = None

    @hookimpl
    def configured(self, plan):
        self._advise = other_stages(plan)

    @hookimpl
    def encode(self, rows, processor):
        for row in rows:
            require(row, self.traits.reads, "mine", self._advise)
        ids = processor([row["text"] for row in rows], add_special_tokens=False)["input_ids"]
        return {{"input_ids": ids, "labels": ids}}

    @hookimpl
    def collate(self, examples, padding_free):
        from tunesmith_library_training.batches import collate

        return collate(examples, padding_free)

    @hookimpl
    def compute_loss(self, model, batch):
        from tunesmith_library_training.token_loss import token_loss

        return token_loss(model, batch, chunk_size=self.loss_chunk_size)
'''
TEXTS = [{"text": f"The tide has turned {number} times, and nobody counts the waves twice."} for number in range(40)]


def configuration(
    folder: Path, model: Path, rows: list[dict[str, Any]], *, token_loss: bool = True, **more: Any
) -> dict[str, Any]:
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "mine.py").write_text(STAGE.format(token_loss=token_loss))
    return {
        "model": {"path": str(model)},
        "template": "chatml",
        "stage": f"{folder / 'mine.py'}:Mine",
        "data": {"train": [str(folder / "rows.jsonl")], "cache": False},
        "adapter": "full",
        "tracker": ["jsonl"],
        "precision": "fp32",
        "output_dir": str(folder / "out"),
        "trainer": {"max_steps": 12, "learning_rate": 1e-2, "logging_steps": 1, "save_strategy": "no"},
        **more,
    }


@pytest.mark.parametrize("changes", [{"loss": "dft"}, {"loss": "eaft"}, {"data.streaming": True}])
def test_a_stage_of_tokens(tiny_llama: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    """Losses of tokens compute its loss, and its rows may be a stream: it says that it is of that kind."""
    events = records(tunesmith.train(configuration(tmp_path, tiny_llama, TEXTS), changes))
    accuracies = [event["accuracy"] for event in events if "accuracy" in event]
    assert accuracies[-1] > accuracies[0] + 0.1


def test_a_stage_that_says_nothing(tiny_llama: Path, tmp_path: Path) -> None:
    config = configuration(tmp_path, tiny_llama, TEXTS, token_loss=False)
    with pytest.raises(ConfigError) as raised:
        tunesmith.train(config, {"loss": "dft", "data.streaming": True})
    report = str(raised.value)
    assert "loss=dft weighs the tokens of a text" in report and "stages that do: pretrain, sft" in report
    assert "data.streaming" in report


ONE_COLUMN = (
    "stage=sft; format: text with columns: {text: COLUMN} in the data set's entry learns one column as it stands"
)
TWO_COLUMNS = (
    "or format: alpaca with columns: {instruction: COLUMN, output: COLUMN} in the data set's entry, "
    "where one column is asked and another one answers"
)


@pytest.mark.parametrize(
    ("stage", "row", "suited"),
    [
        ("pretrain", {"messages": [{"role": "user", "content": "a"}]}, ONE_COLUMN),
        ("sft", {"text": "a"}, TWO_COLUMNS),
        ("sft", {"prompt": [], "chosen": [], "rejected": []}, "stage=dpo, orpo, reward or simpo"),
        ("dpo", {"prompt": [], "completion": [], "label": True}, "stage=kto"),
        ("kto", {"colour": "green"}, "choose another format"),
    ],
)
def test_rows_of_another_stage(stage: str, row: dict[str, Any], suited: str, tiny_bpe: Any) -> None:
    """What the installed stages say that they read tells which of them a row would suit."""
    from tunesmith_library_testing.parts import CHATML

    data = {"train": ["rows.json"]}
    plan, _ = tunesmith.plan({"model": {"path": "org/model"}, "stage": stage, "data": data})
    instance = plan.plugin("stage")
    instance.configured(plan=plan)
    manager = pluggy.PluginManager("tunesmith")
    manager.add_hookspecs(hookspecs)
    manager.register(instance)
    with pytest.raises(DataError) as raised:
        manager.hook.encode(rows=[row], processor=tiny_bpe, template=CHATML)
    assert str(raised.value).splitlines()[-1].strip() == suited
