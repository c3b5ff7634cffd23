"""The tables in docs/llamafactory.md: `python docs/llamafactory_table.py`; `--check` writes nothing.

They are read off what the translation itself uses, and off what it makes of LLaMA-Factory's example files.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from tunesmith.types import Translation
from tunesmith_dialect_llamafactory import LlamaFactory
from tunesmith_dialect_llamafactory.environment import HONOURED, MEANINGLESS
from tunesmith_dialect_llamafactory.table import GONE, OLD, Entry, table

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/llamafactory.md"
EXAMPLES = ROOT / "plugins/dialect/llamafactory/tests/examples.yaml"
_MEDIA = ("image_max_pixels", "video_max_pixels", "image_min_pixels")


def keys() -> Iterator[str]:
    """What becomes of each key, by topics."""
    topics: dict[str, list[Entry]] = {}
    for entry in table().values():
        topics.setdefault(entry.topic, []).append(entry)
    for topic, entries in topics.items():
        yield f"\n### {topic}\n"
        yield "| key | theirs by default | ours |"
        yield "|---|---|---|"
        yield from (f"| `{entry.key}` | {_default(entry)} | {_cell(_outcome(entry))} |" for entry in entries)


def _default(entry: Entry) -> str:
    switch = isinstance(entry.default, bool)
    shown = str(entry.default).lower() if switch else "" if entry.default is None else entry.default
    kept = ", which holds" if entry.kept else ""
    return f"`{shown}`{kept}" if shown != "" else kept.removeprefix(", ")


def _outcome(entry: Entry) -> str:
    with_ = f" (with {' and '.join(f'`{one}`' for one in entry.of)})" if entry.of else ""
    if entry.by:
        return f"{entry.means}{with_}"
    if entry.ours:
        return f"`{entry.ours}`{with_}"
    if entry.only is not None:
        possible = ", ".join(f"`{str(value).lower()}`" for value in entry.only if not isinstance(value, float))
        alone = f"{possible} alone" if possible else "an error"
        return f"{alone}: {entry.why}{f' Instead: `{entry.advice}`' if entry.advice else ''}"
    return f"nothing: {entry.none}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def old() -> Iterator[str]:
    """Former names, and keys that are gone."""
    yield "| written | read as |"
    yield "|---|---|"
    yield from (f"| `{former}` | `{key}` |" for former, key in OLD.items())
    yield from (f"| `{key}` | nothing: {reason} |" for key, reason in GONE.items())


def environment() -> Iterator[str]:
    """What the variables of the environment do."""
    yield "| variable | what it does |"
    yield "|---|---|"
    yield from (f"| `{name}` | {effect} |" for name, effect in HONOURED.items())
    yield from (f"| `{name}` | nothing: {reason} |" for name, reason in MEANINGLESS.items())


def files() -> Iterator[str]:
    """What becomes of each example file."""
    yield "| file | command | |"
    yield "|---|---|---|"
    read = yaml.safe_load(EXAMPLES.read_text(encoding="utf-8"))
    for path, own in read["files"].items():
        config = {**read["common"][own["like"]], **own}
        left = {"like", "without", *own.get("without", ())}
        config = {key: value for key, value in config.items() if key not in left}
        made = LlamaFactory().translate_config(config)
        assert made is not None, f"{path} is not read"
        yield f"| `{path}` | `tunesmith {made.command}` | {_cell('; '.join(_state(config, made)))} |"


def _state(config: Mapping[str, Any], made: Translation) -> Iterator[str]:
    """What a file needs, or why it is refused."""
    refused = [note for note in made.notes if note.outcome == "refused"]
    if refused:
        yield "refused: " + ", ".join(f"`{note.key}`" for note in refused)
        return
    yield "translated"
    trainer, name = made.config.get("trainer", {}), str(config.get("model_name_or_path", config.get("model")))
    if trainer.get("deepspeed"):
        yield "needs GPUs, torchrun and deepspeed"
    if trainer.get("fsdp"):
        yield "needs GPUs and torchrun"
    if "liger" in made.config.get("patch", {}):
        yield "needs a GPU and liger-kernel"
    if made.config.get("quantizer", {}).get("name") == "aqlm":
        yield "needs the package aqlm"
    if any(key in config for key in _MEDIA) or "VL" in name:
        yield "the text alone: pictures are not read"


def main(check: bool) -> int:
    """Write the page where it is stale, or only say that it is."""
    text = made = PAGE.read_text(encoding="utf-8")
    for name, lines in {"keys": keys, "old": old, "environment": environment, "files": files}.items():
        start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        before, rest = made.split(start)
        made = f"{before}{start}\n\n" + "\n".join(lines()).strip() + f"\n\n{end}{rest.split(end)[1]}"
    if made == text:
        return 0
    if not check:
        PAGE.write_text(made, encoding="utf-8")
    print(f"{'stale, run make generate' if check else 'written'}: {PAGE.relative_to(ROOT)}")
    return int(check)


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
