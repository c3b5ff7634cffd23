"""The formats of Alpaca, Vicuna and their like, and those of models that know none."""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, TemplateFacts, Thinking, ThinkingTemplate
from tunesmith_library_chat.calls import HERMES

_GERMAN = "Du bist ein freundlicher und hilfsbereiter KI-Assistent."
_BARE = "only the last answer is followed by the end of sequence, as the official format has it"
_INSTRUCTED = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request."
)
_CURIOUS_USER = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives "
    "helpful, detailed, and polite answers to the user's questions."
)


@plugin
class Default(FamilyTemplate):
    """Names before the turns: `System: …`, `Human: …` and `Assistant:…`, each ended by the end of sequence"""

    traits = TemplateFacts(
        name="default",
        file="turns.jinja",
        variables={
            "system_open": "System: ",
            "system_close": "\n",
            "user_open": "Human: ",
            "user_close": "\n",
            "ended": True,
            "answer_open": "Assistant:",
            "answer_close": "\n",
        },
    )


@plugin
class Empty(FamilyTemplate):
    """Pure text: what is said, and nothing else; the end of sequence behind the last answer"""

    traits = TemplateFacts(
        name="empty",
        file="turns.jinja",
        variables={"history_end": ""},
        rewrites=_BARE,
    )


@plugin
class Fewshot(FamilyTemplate):
    """Examples: what is said, a blank line behind each answer"""

    traits = TemplateFacts(
        name="fewshot",
        file="turns.jinja",
        variables={"history_end": "\n\n"},
        rewrites=_BARE,
    )


@plugin
class Alpaca(FamilyTemplate):
    """Alpaca: `### Instruction:` and `### Response:`"""

    traits = TemplateFacts(
        name="alpaca",
        file="turns.jinja",
        models=("alpaca-(7|13|30|65)b",),
        variables={
            "system_close": "\n\n",
            "user_open": "### Instruction:\n",
            "user_close": "\n\n",
            "answer_open": "### Response:\n",
            "answer_close": "\n\n",
            "own_system": _INSTRUCTED,
        },
        source="tatsu-lab/stanford_alpaca",
    )


@plugin
class ChatMLDe(ThinkingTemplate):
    """ChatML with a German system message"""

    traits = TemplateFacts(
        name="chatml_de",
        file="chatml.jinja",
        stop=("<|im_end|>",),
        default_system=_GERMAN,
        calls=HERMES,
        thinking=Thinking(),
    )

    default_system: str | None = _GERMAN  # system message of conversations that have none


@plugin
class Vicuna(FamilyTemplate):
    """Vicuna 1.1 and 1.5: `USER: …` and `ASSISTANT: …` on one line"""

    traits = TemplateFacts(
        name="vicuna",
        file="turns.jinja",
        models=("(?<!stable)(?<!stable-)vicuna", "xwin-lm", r"wizardlm-\d+b-v1\.[12]"),
        variables={
            "system_close": " ",
            "user_open": "USER: ",
            "user_close": " ",
            "answer_open": "ASSISTANT: ",
            "prompt": "ASSISTANT:",
            "own_system": _CURIOUS_USER,
        },
        aliases={"xwin": ""},
        source="lm-sys/FastChat, fastchat/conversation.py (vicuna_v1.1)",
    )


@plugin
class WizardLM2(FamilyTemplate):
    """WizardLM 2: as Vicuna, each further question on a line of its own"""

    traits = TemplateFacts(
        name="wizardlm2",
        file="turns.jinja",
        models=("wizardlm-2",),
        variables={
            "trim": True,
            "user_open": " USER: ",
            "next_user_open": "\nUSER: ",
            "answer_open": " ASSISTANT: ",
            "prompt": " ASSISTANT:",
            "own_system": _CURIOUS_USER,
        },
        source="alpindale/WizardLM-2-8x22B",
    )
