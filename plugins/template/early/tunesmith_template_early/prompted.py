"""Formats whose prompts hold more than what an answer begins with: the first step of a thought, or a thought."""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, SwitchedTemplate, TemplateFacts, Thinking

_INSTRUCTED = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request."
)


@plugin
class WizardMath(FamilyTemplate):
    """WizardMath: a response is asked for with its first words, `Let's think step by step.`"""

    traits = TemplateFacts(
        name="wizardmath",
        file="wizardmath.jinja",
        models=(r"wizardmath",),
        default_system=_INSTRUCTED,
        variables={"standing_system": _INSTRUCTED, "begun": " Let's think step by step."},
        rewrites="only the last answer stands behind the words that ask for it",
        source="WizardLMTeam/WizardMath-7B-V1.0",
    )


@plugin
class RwkvWorld(SwitchedTemplate):
    """RWKV World: a blank line ends each turn; the later models think if they are told to."""

    traits = TemplateFacts(
        name="rwkv_world",
        file="rwkv_world.jinja",
        models=(r"rwkv.*(world|g1|goose)",),
        model_types=("rwkv6", "rwkv7"),
        stop=("\n\n",),
        thinking=Thinking(switch="enable_thinking"),
        rewrites="only the last answer has a thought",
        source="RWKV/rwkv-6-world-7b",
    )
