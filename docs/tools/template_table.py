"""The table in docs/templates.md and its Chinese page, from a run of the checks: `python docs/tools/template_table.py`.

`--check` writes nothing.

Every template of this repository is rendered and checked as its tests do, and compared with what its model's own
template makes of the same conversations, where `renderings.json` beside the tests has that.
"""

from __future__ import annotations

import datetime
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from pkgutil import resolve_name
from types import SimpleNamespace
from typing import Any

import yaml
from tunesmith.errors import DataError
from tunesmith_library_chat import FamilyTemplate, TemplateFacts, sources
from tunesmith_library_chat.conformance import CHECKS
from tunesmith_library_chat.conversations import CASES, read_renderings
from tunesmith_library_chat.detection import detect
from tunesmith_library_chat.plain_tokenizer import PlainTokenizer, special_tokens_in
from tunesmith_library_chat.subjects import Subject
from writing import write_stale

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/templates.md"
CHINESE = ROOT / "docs/templates.zh.md"
HEADINGS: Mapping[str, str] = {
    "name": "名称",
    "single": "单轮",
    "multi-turn": "多轮",
    "system": "系统消息",
    "tools": "工具",
    "parallel tools": "并行工具",
    "thinking": "思考",
    "media marks": "媒体标记",
    "models": "模型",
}
"""The columns in Chinese."""
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "single": ("single", "single_answer", "white"),
    "multi-turn": ("multi", "multi_prompt"),
    "system": ("system", "system_multi"),
    "tools": tuple(name for name in CASES if name.startswith(("tools", "call"))),
    "parallel tools": ("parallel", "parallel_prompt"),
    "thinking": tuple(name for name in CASES if name.startswith("thought")),
    "media marks": ("image",),
}
_START, _END = "<!-- table -->", "<!-- /table -->"
_MODELS = 4  # that a row names


def templates() -> Iterator[tuple[type[FamilyTemplate], Path]]:
    """The templates of the repository that are facts and Jinja, each with its distribution's folder, by name."""
    found: dict[str, tuple[type[FamilyTemplate], Path]] = {}
    for file in ROOT.glob("plugins/template/*/pyproject.toml"):
        described = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
        sys.path.insert(0, str(file.parent))
        for target in described["entry-points"]["tunesmith.template"].values():
            cls = resolve_name(target)
            if isinstance(getattr(cls, "traits", None), TemplateFacts):
                found[cls.traits.name] = cls, file.parent
    yield from (found[name] for name in sorted(found))


def subject_of(cls: type[FamilyTemplate], official: Mapping[str, Any]) -> Subject:
    """A template with its default options, and a tokenizer with the tokens of its model."""
    facts, tokens = cls.traits, official.get("tokens", {"bos_token": "<s>", "eos_token": "</s>"})
    made: Any = cls()
    arguments = {"processor": PlainTokenizer(**tokens), "source": SimpleNamespace(path=Path(), address="")}
    wanted = made.chat_template.__code__.co_varnames[1 : made.chat_template.__code__.co_argcount]
    template = made.chat_template(**{name: arguments[name] for name in wanted})
    tokenizer = PlainTokenizer(special_tokens_in(template.jinja, *template.stop), **tokens)
    return Subject(
        template=template.bind(tokenizer),
        facts=facts,
        tokenizer=tokenizer,
        tools=facts.calls is not None,
        has_system=facts.system,
    )


def row(cls: type[FamilyTemplate], folder: Path, models: list[str]) -> str:
    """A template's line of the table.

    Raises: SystemExit when a check finds something.
    """
    facts = cls.traits
    official = read_renderings(folder / "tests" / "renderings.json").get(facts.name, {})
    subject = subject_of(cls, official)
    for check in CHECKS:
        for finding in check(subject):
            sys.exit(f"template {facts.name}, {check.__name__}: {finding}")
    known = {
        "tools": facts.calls,
        "parallel tools": facts.calls,
        "thinking": facts.thinking,
        "media marks": facts.media,
    }
    cells = [
        _cell(subject, cases, official) if known.get(column, True) and (column != "system" or facts.system) else "–"
        for column, cases in COLUMNS.items()
    ]
    more = f" and {len(models) - _MODELS} more" if len(models) > _MODELS else ""
    served = (", ".join(models[:_MODELS]) + more) or facts.source
    names = ", ".join(f"`{name}`" for name in (facts.name, *sorted(facts.aliases)))
    return f"| {names} | {' | '.join(cells)} | {served} |"


def _cell(subject: Subject, cases: tuple[str, ...], official: Mapping[str, Any]) -> str:
    texts, compared, rendered, differs = official.get("cases", {}), 0, 0, 0
    template = subject.template.with_variables(**official.get("variables", {}))
    for name in cases:
        try:
            text = template.render(CASES[name].messages, **CASES[name].arguments).text
        except DataError:
            continue
        rendered += 1
        compared += name in texts
        differs += texts.get(name, text) != text
    if not rendered:
        return "–"
    return "≠" if differs else "✓" if compared else "(✓)"


def served() -> dict[str, list[str]]:
    """The models of conf/models.yaml by the template that their names are detected to."""
    installed: dict[str, type] = {cls.traits.name: cls for cls, _ in templates()}
    found: dict[str, list[str]] = {}
    for name, entry in yaml.safe_load((ROOT / "conf/models.yaml").read_text(encoding="utf-8")).items():
        if entry.get("template"):
            ids = [entry[hub] for hub in ("huggingface", "modelscope") if hub in entry]
            detected = detect(installed, [name, *ids], None)
            if detected:
                found.setdefault(detected.name, []).append(name)
    return found


def rows() -> list[str]:
    """The lines of the table below its headings."""
    sources.now = lambda: datetime.datetime(2026, 1, 2)  # the day of the official renderings
    models = served()
    return [row(cls, folder, models.get(cls.traits.name, [])) for cls, folder in templates()]


def page(file: Path, lines: list[str]) -> str:
    """A page with its table anew."""
    names = ["name", *COLUMNS, "models"]
    if file == CHINESE:
        names = [HEADINGS[name] for name in names]
        lines = [re.sub(r" and (\d+) more \|$", r" 等，另有 \1 个 |", line) for line in lines]
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|", *lines]
    before, _, rest = file.read_text(encoding="utf-8").partition(_START)
    return f"{before}{_START}\n\n" + "\n".join(lines) + f"\n\n{_END}" + rest.partition(_END)[2]


def main(check: bool) -> int:
    """Write the pages, or only say which are stale."""
    lines = rows()
    return int(bool(write_stale(((file, page(file, lines)) for file in (PAGE, CHINESE)), check=check)) and check)


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
