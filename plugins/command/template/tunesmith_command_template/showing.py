"""What a template writes, as a reader sees it."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text
from tunesmith.errors import DataError
from tunesmith_library_chat import Rendered
from tunesmith_library_chat.conversations import CASES
from tunesmith_library_chat.subjects import Subject


def print_example(subject: Subject, console: Console) -> None:
    """Print what is known of a template, and conversations as it writes them, with what is trained marked."""
    facts, template = subject.facts, subject.template
    told = {
        "template": template.name,
        "turns end with": " or ".join(template.stop),
        "default system message": facts.default_system,
        "calls of tools": template.calls.name if template.calls else "none",
        "thoughts": f"{facts.thinking.open} … {facts.thinking.close}" if facts.thinking else None,
        "media": ", ".join(f"{kind}: {mark}" for kind, mark in facts.media.items()) or None,
        "earlier turns": facts.rewrites or None,
        "models": ", ".join((*facts.models, *facts.model_types)) or None,
        "published by": facts.source or None,
    }
    width = max(map(len, told))
    for name, value in told.items():
        if value is not None:
            console.print(Text(f"{name.ljust(width)}  {value}"))
    for title, name in {"a conversation": _talk(subject), "tools": "parallel", "thoughts": "thought_call"}.items():
        if (name == "parallel" and not subject.has_tools) or (name == "thought_call" and not facts.thinking):
            continue
        console.rule(title, align="left")
        try:
            rendered = subject.render(CASES[name].messages, tools=CASES[name].tools)
        except DataError as error:
            console.print(Text(str(error)))
            continue
        console.print(marked(rendered, colour=console.is_terminal))
    console.rule("a prompt", align="left")
    console.print(Text(subject.render(CASES["single"].messages, add_generation_prompt=True).text))


def _talk(subject: Subject) -> str:
    return "system_multi" if subject.has_system else "multi"


def marked(rendered: Rendered, colour: bool) -> Text:
    """A rendering in which what is trained is green, or stands in ⟦ ⟧."""
    text, end = Text(), 0
    for span in rendered.spans:
        said = rendered.text[span.start : span.end]
        text.append(rendered.text[end : span.start])
        text.append(said if colour else f"⟦{said}⟧", style="green")
        end = span.end
    return text.append(rendered.text[end:])
