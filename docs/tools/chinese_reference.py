"""docs/reference.zh.md: the English reference with the Chinese names and explanations that the web page has.

What has none there stays English.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

_LABELS = Path(__file__).resolve().parents[2] / (
    "plugins/command/webui/tunesmith_command_webui/page/languages/options/zh.json"
)
_HEADING = re.compile(r"^#{2,3} `(?:(?P<kind>\w+)(?:[=.](?P<name>[^`]+))?|tunesmith (?P<command>\w+))`$")
_ROW = re.compile(r"^\| `(?P<option>[^`]+)` \| (?P<middle>.*) \| (?P<meaning>.*) \|$")
_SENTENCES = {
    "# Reference": "# 参考",
    "Every key of a configuration. A key that is not listed here is an error.": (
        "配置的全部键。这里没有列出的键都是错误。说明来自网页界面的中文词表；还没有译文的保持英文。"
    ),
    "## The run": "## 运行",
    "| option | type | default | meaning |": "| 选项 | 类型 | 默认值 | 含义 |",
    "It has no options.": "没有选项。",
}
_PIECES = (
    (re.compile(r"A run has exactly one\."), "一次运行恰好有一个。"),
    (re.compile(r"A run has one or none\."), "一次运行有一个或没有。"),
    (re.compile(r"A run has any number\."), "一次运行可以有任意多个。"),
    (
        re.compile(r"A run has those that its addresses and data set entries name\."),
        "一次运行有地址和数据集条目所指的那些。",
    ),
    (re.compile(r"Every installed one is there: it is no key of a configuration\."), "已安装的都可用，不是配置的键。"),
    (re.compile(r"Default: (.+)\.$"), r"默认：\1。"),
    (re.compile(r"^Distribution: (.+)\.$"), r"发行包：\1。"),
)
_TAILS = (
    (re.compile(r"; a plain text is its (`[^`]+`)"), r"；直接写文本即为其 \1"),
    (re.compile(r"; fields as in (`[^`]+`)"), r"；字段同 \1"),
)


def chinese_reference(english: str) -> str:
    """The text of the Chinese page.

    Args:
        english: that of the English one.
    """
    kind, name, opened, made = "run", "", False, []
    for line in english.splitlines():
        heading, row = _HEADING.match(line), _ROW.match(line)
        if line == "## The run":
            kind, name = "run", ""
        if heading:
            kind, name = heading["kind"] or "command", heading["name"] or heading["command"] or ""
            opened = True
        elif row:
            line = f"| `{row['option']}` | {_required(row['middle'])} | {_meaning(kind, name, row)} |"
        elif opened and line:
            line, opened = _about(kind, name, line), False
        else:
            line = _in_words(line)
        made.append(line)
    return "\n".join(made) + "\n"


def _in_words(line: str) -> str:
    line = _SENTENCES.get(line, line)
    for pattern, chinese in _PIECES:
        line = pattern.sub(chinese, line)
    return line


def _required(middle: str) -> str:
    return re.sub(r"\| required$", "| 必填", middle)


def _about(kind: str, name: str, line: str) -> str:
    """The first paragraph of a kind or of a plugin."""
    said = (_labels()[kind].get(name) or {}) if name else _labels()[kind]
    summary = str(said.get("summary", "")).rstrip("。")
    if not summary:
        return _in_words(line)
    if name:
        return f"{summary}。"
    _, stop, how_many = line.partition(". ")
    return f"{summary}。{_in_words(how_many).replace('。 ', '。')}" if stop else f"{summary}。"


def _meaning(kind: str, name: str, row: re.Match[str]) -> str:
    """What an option means, by its path below the plugin; those that several plugins have stand below `*`."""
    path = re.sub(r"\[0\]|\.NAME", "", row["option"]).split(".")
    places = [_labels()[kind].get(name), _labels()[kind].get("*")] if kind != "run" else [_labels()["run"]]
    found: Any = next((said for place in places if (said := _inside(place, path))), None)
    if not found:
        return row["meaning"]
    meaning = "：".join(part for part in (found.get("label"), found.get("help")) if part).replace("|", "\\|")
    for pattern, chinese in _TAILS:
        meaning += "".join(match.expand(chinese) for match in pattern.finditer(row["meaning"]))
    return meaning


def _inside(place: Any, path: list[str]) -> Any:
    for part in path:
        place = place.get(part) if isinstance(place, dict) else None
    return place if isinstance(place, dict) and place.get("help") else None


@cache
def _labels() -> dict[str, dict[str, Any]]:
    labels: dict[str, dict[str, Any]] = json.loads(_LABELS.read_text(encoding="utf-8"))
    return labels
