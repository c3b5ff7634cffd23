"""The tables in docs/llamafactory.md and its Chinese page: `python docs/tools/llamafactory_table.py`.

`--check` writes nothing. They are read off what the translation itself uses, and off what it makes of LLaMA-Factory's
example files. The Chinese is the catalogue's of the dialect; the words of the tables stand here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from tunesmith.cli.languages import translate
from tunesmith.types import Translation
from tunesmith_dialect_llamafactory import LlamaFactory
from tunesmith_dialect_llamafactory.environment import HONOURED, MEANINGLESS
from tunesmith_dialect_llamafactory.table import GONE, OLD, Entry, table
from writing import write_stale

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/llamafactory.md"
CHINESE = ROOT / "docs/llamafactory.zh.md"
EXAMPLES = ROOT / "plugins/dialect/llamafactory/tests/examples.yaml"
_MEDIA = ("image_max_pixels", "video_max_pixels", "image_min_pixels")


_WORDS: Mapping[str, str] = {
    "| key | theirs by default | ours |": "| 键 | 对方的默认值 | 这里 |",
    "| written | read as |": "| 写法 | 读作 |",
    "| variable | what it does |": "| 变量 | 作用 |",
    "| file | command | |": "| 文件 | 命令 | |",
    "which holds": "保留",
    " (with {})": "（配合 {}）",
    " and ": " 和 ",
    "{} alone": "只能是 {}",
    "an error": "报错",
    "{}: {}": "{}：{}",
    " Instead: `{}`": " 可改为：`{}`",
    "nothing: {}": "无作用：{}",
    "refused: {}": "拒绝：{}",
    "translated": "可用",
    "needs GPUs, torchrun and deepspeed": "需要 GPU、torchrun 和 deepspeed",
    "needs GPUs and torchrun": "需要 GPU 和 torchrun",
    "needs a GPU and liger-kernel": "需要 GPU 和 liger-kernel",
    "needs the package aqlm": "需要 aqlm 包",
    "the text alone: pictures are not read": "只有文本：不读取图片",
    "Model": "模型",
    "Quantisation": "量化",
    "Method": "方法",
    "Preferences": "偏好",
    "Data": "数据",
    "Pictures": "图片",
    "Optimizers": "优化器",
    "Training": "训练",
    "Devices": "设备",
    "Trackers": "跟踪器",
    "Answers": "回答",
    "Export": "导出",
    "Evaluation": "评估",
    "Derived": "派生",
    "Freeze": "冻结",
}


class Tables:
    """The tables in one language."""

    def __init__(self, chinese: bool = False) -> None:
        self.chinese = chinese

    def said(self, text: str, *values: str) -> str:
        """Words of the tables, filled in."""
        return (_WORDS.get(text, text) if self.chinese else text).format(*values)

    def meant(self, text: str) -> str:
        """What the dialect says of a key or a variable."""
        return translate(text, "zh") if self.chinese else text

    def keys(self) -> Iterator[str]:
        """What becomes of each key, by topics."""
        topics: dict[str, list[Entry]] = {}
        for entry in table().values():
            topics.setdefault(entry.topic, []).append(entry)
        for topic, entries in topics.items():
            yield f"\n### {self.said(topic)}\n"
            yield self.said("| key | theirs by default | ours |")
            yield "|---|---|---|"
            for entry in entries:
                yield f"| `{entry.key}` | {self._default(entry)} | {_cell(self._outcome(entry))} |"

    def _default(self, entry: Entry) -> str:
        switch = isinstance(entry.default, bool)
        shown = str(entry.default).lower() if switch else "" if entry.default is None else entry.default
        parts = [f"`{shown}`"] if shown != "" else []
        return ", ".join([*parts, self.said("which holds")] if entry.kept else parts)

    def _outcome(self, entry: Entry) -> str:
        joined = self.said(" and ").join(f"`{one}`" for one in entry.of)
        with_ = self.said(" (with {})", joined) if entry.of else ""
        if entry.by:
            return f"{self.meant(entry.means)}{with_}"
        if entry.ours:
            return f"`{entry.ours}`{with_}"
        if entry.only is not None:
            possible = ", ".join(f"`{str(value).lower()}`" for value in entry.only if not isinstance(value, float))
            alone = self.said("{} alone", possible) if possible else self.said("an error")
            advice = self.said(" Instead: `{}`", self.meant(entry.advice)) if entry.advice else ""
            return f"{self.said('{}: {}', alone, self.meant(entry.why))}{advice}"
        return self.said("nothing: {}", self.meant(entry.none))

    def old(self) -> Iterator[str]:
        """Former names, and keys that are gone."""
        yield self.said("| written | read as |")
        yield "|---|---|"
        yield from (f"| `{former}` | `{key}` |" for former, key in OLD.items())
        yield from self._without_meaning(GONE)

    def environment(self) -> Iterator[str]:
        """What the variables of the environment do."""
        yield self.said("| variable | what it does |")
        yield "|---|---|"
        yield from (f"| `{name}` | {self.meant(effect)} |" for name, effect in HONOURED.items())
        yield from self._without_meaning(MEANINGLESS)

    def _without_meaning(self, reasons: Mapping[str, str]) -> Iterator[str]:
        return (f"| `{name}` | {self.said('nothing: {}', self.meant(reason))} |" for name, reason in reasons.items())

    def files(self) -> Iterator[str]:
        """What becomes of each example file."""
        yield self.said("| file | command | |")
        yield "|---|---|---|"
        between = "；" if self.chinese else "; "
        for path, command, states in examples():
            state = between.join(self.said(text, *values) for text, *values in states)
            yield f"| `{path}` | `tunesmith {command}` | {_cell(state)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


@cache
def examples() -> list[tuple[str, str, list[tuple[str, ...]]]]:
    """Each example file, the command that it is for, and what is to be said of it."""
    found = []
    read = yaml.safe_load(EXAMPLES.read_text(encoding="utf-8"))
    for path, own in read["files"].items():
        config = {**read["common"][own["like"]], **own}
        left = {"like", "without", *own.get("without", ())}
        config = {key: value for key, value in config.items() if key not in left}
        made = LlamaFactory().translate_config(config)
        assert made is not None, f"{path} is not read"
        found.append((path, made.command, list(_state(config, made))))
    return found


def _state(config: Mapping[str, Any], made: Translation) -> Iterator[tuple[str, ...]]:
    """What a file needs, or why it is refused."""
    refused = [note for note in made.notes if note.outcome == "refused"]
    if refused:
        yield "refused: {}", ", ".join(f"`{note.key}`" for note in refused)
        return
    yield ("translated",)
    trainer, name = made.config.get("trainer", {}), str(config.get("model_name_or_path", config.get("model")))
    if trainer.get("deepspeed"):
        yield ("needs GPUs, torchrun and deepspeed",)
    if trainer.get("fsdp"):
        yield ("needs GPUs and torchrun",)
    if "liger" in made.config.get("patch", {}):
        yield ("needs a GPU and liger-kernel",)
    if made.config.get("quantizer", {}).get("name") == "aqlm":
        yield ("needs the package aqlm",)
    if any(key in config for key in _MEDIA) or "VL" in name:
        yield ("the text alone: pictures are not read",)


def page(text: str, tables: Tables) -> str:
    """A page's text with its tables anew."""
    for name in ("keys", "old", "environment", "files"):
        start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        before, rest = text.split(start)
        made = "\n".join(getattr(tables, name)()).strip()
        text = f"{before}{start}\n\n{made}\n\n{end}{rest.split(end)[1]}"
    return text


def main(check: bool) -> int:
    """Write the pages where they are stale, or only say that they are."""
    texts = ((file, file.read_text(encoding="utf-8")) for file in (PAGE, CHINESE))
    made = ((file, page(text, Tables(chinese=file == CHINESE))) for file, text in texts)
    return int(bool(write_stale(made, check=check)) and check)


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
