"""The formats of ByteDance's Seed models."""

from typing import Annotated

from tunesmith import plugin
from tunesmith.ranges import between
from tunesmith_library_chat import FamilyTemplate, SwitchedTemplate, TemplateFacts, Thinking
from tunesmith_library_chat.calls import SEED
from tunesmith_library_chat.facts import tuned

_CODER = (
    "You are an AI programming assistant, utilizing the Seed-Coder model, developed by ByteDance Seed, "
    "and you only answer questions related to computer science. For politically sensitive questions, "
    "security and privacy issues, and other non-computer science questions, you will refuse to answer."
)


@plugin
class SeedCoder(FamilyTemplate):
    """Seed-Coder: turns between the begin and the end of sentence, with a system message of its own"""

    traits = TemplateFacts(
        name="seed_coder",
        file="turns.jinja",
        models=(r"seed-coder.*(instruct|reasoning|thinking)", tuned("seed-coder")),
        stop=("<[end▁of▁sentence]>",),
        variables={
            "system_open": "<[begin▁of▁sentence]>system\n",
            "system_close": "\n\n<[end▁of▁sentence]>",
            "user_open": "<[begin▁of▁sentence]>user\n",
            "user_close": "<[end▁of▁sentence]>",
            "answer_open": "<[begin▁of▁sentence]>assistant\n",
            "answer_end": "<[end▁of▁sentence]>",
            "own_system": _CODER,
        },
        source="ByteDance-Seed/Seed-Coder-8B-Instruct",
    )


@plugin
class SeedOSS(SwitchedTemplate):
    """Seed-OSS: tools as Python signatures, thoughts in `<seed:think>`, told how long they may be"""

    traits = TemplateFacts(
        name="seed_oss",
        file="seed_oss.jinja",
        models=(r"seed-oss.*instruct", tuned("seed-oss")),
        model_types=("seed_oss",),
        stop=("<seed:eos>",),
        calls=SEED,
        thinking=Thinking("<seed:think>", "</seed:think>", switch="enable_thinking"),
        source="ByteDance-Seed/Seed-OSS-36B-Instruct",
    )

    # how many tokens of thought the model is told; 0: none; null says nothing
    thinking_budget: Annotated[int, between(0, 10**6)] | None = None
