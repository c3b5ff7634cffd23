"""The formats that Meta's Llama models were trained on, as their model cards publish them.

Llama 2 and 3.0 know no tools; 3.1 and later describe them in the first user turn and answer one call per turn.
"""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, TemplateFacts
from tunesmith_library_chat.calls import LLAMA, LLAMA_4
from tunesmith_library_chat.facts import tuned

_EOT = ("<|eot_id|>",)
_HELPFUL_CHINESE = "You are a helpful assistant. 你是一个乐于助人的助手。"


@plugin
class Llama2(FamilyTemplate):
    """Llama 2: `[INST] … [/INST]`, the system message inside the first user turn, no tools."""

    traits = TemplateFacts(
        name="llama2",
        file="llama2.jinja",
        models=(
            r"(?<!hermes-)(?<!dolphin-)llama-?2-(?!.*(?:guanaco|alpaca|orca))",
            tuned("codellama", r"(?:7|13|34)b"),
            r"codellama-(7|13|34)b-instruct",
        ),
        aliases={"codellama": "CodeLlama 70B is template=codellama_70b"},
        source="meta-llama/Llama-2-7b-chat-hf",
    )


@plugin
class Llama2Chinese(FamilyTemplate):
    """Chinese-LLaMA-2 and Chinese-Alpaca-2: the format of Llama 2 with a system message of their own."""

    traits = TemplateFacts(
        name="llama2_zh",
        file="llama2.jinja",
        models=(r"chinese-(llama|alpaca)-2",),
        default_system=_HELPFUL_CHINESE,
        variables={"own_system": _HELPFUL_CHINESE},
        source="hfl/chinese-alpaca-2-7b",
    )


@plugin
class CodeLlama70(FamilyTemplate):
    """CodeLlama 70B: `Source:` before each turn, `<step>` behind it."""

    traits = TemplateFacts(
        name="codellama_70b",
        file="codellama_70b.jinja",
        models=(r"codellama-70b-instruct",),
        stop=("<step>",),
        rewrites="only the last answer stands behind the words that ask for it",
        source="codellama/CodeLlama-70b-Instruct-hf",
    )


@plugin
class Llama3(FamilyTemplate):
    """Llama 3.0: header and `<|eot_id|>`, no tools."""

    traits = TemplateFacts(
        name="llama3",
        file="llama3.jinja",
        models=(r"llama-?3-(?!chatqa)", r"llama-3-\d+b", r"llama-?3\.1-\d+b-chinese-chat", r"mobilellm-r1"),
        stop=_EOT,
        source="meta-llama/Meta-Llama-3-8B-Instruct",
    )


@plugin
class Llama31(FamilyTemplate):
    """Llama 3.1: the format of 3.0 with tools, and a system turn with dates in every conversation."""

    traits = TemplateFacts(
        name="llama3_1",
        file="llama3_1.jinja",
        models=(r"llama-?3\.1(?!-nemotron-(?:nano|ultra))",),
        stop=_EOT,
        calls=LLAMA,
        source="meta-llama/Llama-3.1-8B-Instruct",
    )

    date_string: str | None = "26 Jul 2024"  # today's date as the system turn gives it; null is the day of the run


@plugin
class Llama32(FamilyTemplate):
    """Llama 3.2: the format of 3.1 with the current date."""

    traits = TemplateFacts(
        name="llama3_2",
        file="llama3_1.jinja",
        models=(r"llama-?3\.2-\d+b",),
        stop=_EOT,
        calls=LLAMA,
        source="meta-llama/Llama-3.2-3B-Instruct",
    )

    date_string: str | None = None  # today's date as the system turn gives it; null is the day of the run


@plugin
class Mllama(FamilyTemplate):
    """Llama 3.2 Vision: the format of 3.2 with images, and white space as it is given."""

    traits = TemplateFacts(
        name="mllama",
        file="mllama.jinja",
        models=(r"llama-?3\.2-.*vision",),
        model_types=("mllama",),
        stop=_EOT,
        calls=LLAMA,
        media={"image": "<|image|>"},
        source="meta-llama/Llama-3.2-11B-Vision-Instruct",
    )

    date_string: str | None = None  # today's date as the system turn gives it; null is the day of the run


@plugin
class Llama33(Llama31):
    """Llama 3.3: the format of 3.1."""

    traits = TemplateFacts(
        name="llama3_3",
        file="llama3_1.jinja",
        models=(r"llama-?3\.3(?!-nemotron-super)",),
        stop=_EOT,
        calls=LLAMA,
        source="meta-llama/Llama-3.3-70B-Instruct",
    )


@plugin
class Llama4(FamilyTemplate):
    """Llama 4: header and `<|eot|>`, with tools."""

    traits = TemplateFacts(
        name="llama4",
        file="llama4.jinja",
        models=(r"llama-?4",),
        model_types=("llama4", "llama4_text"),
        stop=("<|eot|>",),
        calls=LLAMA_4,
        media={"image": "<|image|>"},
        source="meta-llama/Llama-4-Scout-17B-16E-Instruct",
    )
