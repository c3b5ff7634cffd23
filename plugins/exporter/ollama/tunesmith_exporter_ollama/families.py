"""How families of chat templates write a conversation, as the Go templates that Ollama before 0.30 needs.

A family is what stands around each turn. From that comes its Go template, and the text that it writes, so that it can
be told, without Ollama, whether a family writes conversations as the trained template does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tunesmith import TunesmithError
from tunesmith.types import ChatTemplate

Turn = Mapping[str, str]
Around = tuple[str, str]


@dataclass(frozen=True)
class Family:
    """What stands around the turns of a conversation."""

    name: str
    user: Around
    assistant: Around
    system: Around | None = None  # None: the system message stands at the head of the first question
    head: Around = ("", "\n\n")  # what stands around it there
    beginning: str = ""  # before everything

    def prompt(self, turns: Sequence[Turn]) -> str:
        """A conversation up to where an answer begins, as the Go template writes it."""
        system = next((turn["content"] for turn in turns if turn["role"] == "system"), "")
        found, asked = self.beginning, False
        for turn in turns:
            role, said = turn["role"], turn["content"]
            if role == "system":
                found += said.join(self.system) if self.system else ""
                continue
            if role == "user" and system and not (asked or self.system):
                said = system.join(self.head) + said
            found += said.join(self.user if role == "user" else self.assistant)
            asked = True
        return found + self.assistant[0]

    def go(self, beginning: bool) -> str:
        """The template in Go, in which no space is trimmed.

        Args:
            beginning: whether it writes what stands before everything; Ollama writes a file's first token itself.
        """
        said = "{{ .Content }}"
        asked = said if self.system else "{{ if and $.System (eq $index 1) }}" + "{{ $.System }}".join(self.head)
        asked += "" if self.system else "{{ end }}" + said
        turns = [f'{{{{ if eq .Role "user" }}}}{asked.join(self.user)}']
        turns += [f'{{{{ else if eq .Role "system" }}}}{said.join(self.system)}'] if self.system else []
        before, after = self.assistant
        turns += [f'{{{{ else if eq .Role "assistant" }}}}{before}{said}{{{{ if not $last }}}}{after}{{{{ end }}}}']
        opened = f'{{{{ if and $last (ne .Role "assistant") }}}}{before}{{{{ end }}}}'
        return (
            (self.beginning if beginning else "")
            + "{{ range $index, $turn := .Messages }}{{ $last := eq (len (slice $.Messages $index)) 1 }}"
            + "".join(turns)
            + "{{ end }}"
            + opened
            + "{{ end }}"
        )


def _headed(name: str, start: str, middle: str, end: str, beginning: str = "") -> Family:
    """A family that names each turn's role in the same way."""
    user, assistant, system = ((f"{start}{role}{middle}", end) for role in ("user", "assistant", "system"))
    return Family(name, user, assistant, system, beginning=beginning)


FAMILIES = (
    _headed("chatml", "<|im_start|>", "\n", "<|im_end|>\n"),
    _headed("llama3", "<|start_header_id|>", "<|end_header_id|>\n\n", "<|eot_id|>", "<|begin_of_text|>"),
    _headed("phi3", "<|", "|>\n", "<|end|>\n"),
    _headed("phi4_mini", "<|", "|>", "<|end|>"),
    _headed("phi4", "<|im_start|>", "<|im_sep|>", "<|im_end|>"),
    _headed("granite", "<|start_of_role|>", "<|end_of_role|>", "<|end_of_text|>\n"),
    _headed("zephyr", "<|", "|>\n", "</s>\n"),
    Family(
        "gemma",
        ("<start_of_turn>user\n", "<end_of_turn>\n"),
        ("<start_of_turn>model\n", "<end_of_turn>\n"),
        beginning="<bos>",
    ),
    Family("llama2", ("<s>[INST] ", " [/INST]"), (" ", " </s>"), head=("<<SYS>>\n", "\n<</SYS>>\n\n")),
    Family("mistral", ("[INST] ", " [/INST]"), (" ", "</s>"), beginning="<s>"),
    Family("mistral_v3", ("[INST] ", "[/INST]"), (" ", "</s>"), beginning="<s>"),
    Family("mistral_tekken", ("[INST]", "[/INST]"), ("", "</s>"), beginning="<s>"),
    Family(
        "mistral_small", ("[INST]", "[/INST]"), ("", "</s>"), ("[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"), beginning="<s>"
    ),
    Family("alpaca", ("### Instruction:\n", "\n\n"), ("### Response:\n", "</s>\n\n"), ("", "\n\n")),
    Family("vicuna", ("USER: ", " "), ("ASSISTANT: ", "</s>"), ("", " ")),
    Family(
        "deepseek",
        ("<\uff5cUser\uff5c>", ""),
        ("<\uff5cAssistant\uff5c>", "<\uff5cend\u2581of\u2581sentence\uff5c>"),
        ("", ""),
        beginning="<\uff5cbegin\u2581of\u2581sentence\uff5c>",
    ),
)
"""The families that a Go template is written of."""

_FIRST = {"role": "user", "content": "Who counts the waves?"}
_ANSWER = {"role": "assistant", "content": "Nobody."}
_SECOND = {"role": "user", "content": "Why?"}
_SYSTEM = {"role": "system", "content": "Answer in one line."}
_TALKS: tuple[tuple[Turn, ...], ...] = ((_SYSTEM, _FIRST), (_SYSTEM, _FIRST, _ANSWER, _SECOND))


@dataclass(frozen=True)
class Found:
    """The family that a template belongs to."""

    family: Family
    system: str | None  # what it writes where a conversation has no system message


def family_of(template: ChatTemplate) -> Found:
    """The family that writes conversations as a template does.

    Raises: TunesmithError where none does.
    """
    for family in FAMILIES:
        if all(_rendered(template, talk) == family.prompt(talk) for talk in _TALKS):
            found = _default_system(family, _rendered(template, (_FIRST,)))
            if found is not None:
                return Found(family, found or None)
    raise TunesmithError(
        f"no family of Go templates writes conversations as template={template.name} does, so that Ollama before 0.30 "
        "would write others than were trained.\n"
        f"  these are known: {', '.join(family.name for family in FAMILIES)}\n"
        "  exporter.ollama.template=gguf leaves it to the template in the file, which Ollama runs since 0.30"
    )


def _rendered(template: ChatTemplate, talk: Sequence[Turn]) -> str | None:
    """A conversation by the trained template; None where it refuses it."""
    try:
        return str(template.render([dict(turn) for turn in talk], add_generation_prompt=True).text)
    except TunesmithError:
        return None


def _default_system(family: Family, written: str | None) -> str | None:
    """What a template writes as system message by itself: "" for nothing, None where it writes something else."""
    if written is None or written == family.prompt((_FIRST,)):
        return None if written is None else ""
    before, after = (part for part in family.prompt((dict(_SYSTEM, content="\0"), _FIRST)).split("\0"))
    if not (written.startswith(before) and written.endswith(after)):
        return None
    return written[len(before) : len(written) - len(after)]
