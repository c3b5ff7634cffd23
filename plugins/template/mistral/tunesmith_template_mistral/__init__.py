"""The formats of Mistral AI's models: `[INST]` around each question, the end of the text behind each answer.

The first ones write the system message into the first question, those of version 3 into the last one, later ones into
`[SYSTEM_PROMPT]`. Calls are JSON behind `[TOOL_CALLS]`, later a name and its arguments. Identifiers of calls have nine
characters; others are numbered.
"""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, TemplateFacts, Thinking, ThinkingTemplate
from tunesmith_library_chat.calls import MISTRAL, MISTRAL_NAMED
from tunesmith_library_chat.facts import tuned

from tunesmith_template_mistral.prompts import DEVSTRAL, REASONING, SMALL_3, SMALL_3_2

_MOVES = "the system message and the tools move to the last question"
_TOOLS_MOVE = "the tools move to the last question"
_THINKING = Thinking("[THINK]", "[/THINK]")


@plugin
class Mistral(FamilyTemplate):
    """Mistral 7B v0.3, Mixtral 8x22B, Codestral 22B, Mistral Small 2409 and Mistral Large 2407, with tools."""

    traits = TemplateFacts(
        name="mistral",
        file="mistral.jinja",
        models=(
            r"mistral-7b-(instruct-)?v0\.3",
            r"mistral-7b-instruct",
            tuned("^mistral", "7b(?!.*(?:orca|dolphin))"),
            r"mixtral-8x22b",
            r"codestral-22b",
            r"mistral-small-.*2409",
            r"mistral-large-.*2407",
        ),
        calls=MISTRAL,
        variables={"space": " ", "with_tools": True, "system_in_last": True},
        rewrites=_MOVES,
        aliases={
            "mistral_v3": "Mistral 7B v0.1 and v0.2 and Mixtral 8x7B are template=mistral_v1",
            "mistral_large": "that of Mistral Nemo, without spaces, is template=ministral",
        },
        source="mistralai/Mistral-7B-Instruct-v0.3",
    )


@plugin
class MistralV1(FamilyTemplate):
    """Mistral 7B v0.1 and v0.2, and Mixtral 8x7B."""

    traits = TemplateFacts(
        name="mistral_v1",
        file="mistral.jinja",
        models=(r"mistral-7b-(instruct-)?v0\.[12]", r"mixtral-8x7b"),
        variables={"space": " ", "padded": True},
        aliases={"mixtral": ""},
        source="mistralai/Mistral-7B-Instruct-v0.2",
    )


@plugin
class MistralFirst(FamilyTemplate):
    """The models of v0.1 and v0.2 and Mixtral 8x7B as first published, without a system message."""

    traits = TemplateFacts(
        name="mistral_first",
        models=(r"mixtral-8x7b-instruct-v0\.1-(gptq|awq)",),
        file="mistral_first.jinja",
        system=False,
        source="TheBloke/Mixtral-8x7B-Instruct-v0.1-GPTQ",
    )


@plugin
class Ministral(FamilyTemplate):
    """Mistral Nemo and Ministral 8B, with tools."""

    traits = TemplateFacts(
        name="ministral",
        file="mistral.jinja",
        models=(r"mistral-nemo(?!-minitron)", r"ministral-8b"),
        calls=MISTRAL,
        variables={"with_tools": True, "system_in_last": True},
        rewrites=_MOVES,
        aliases={"mistral_nemo": ""},
        source="mistralai/Mistral-Nemo-Instruct-2407",
    )


@plugin
class Pixtral(FamilyTemplate):
    """Pixtral, with images."""

    traits = TemplateFacts(
        name="pixtral",
        file="mistral.jinja",
        models=(r"pixtral",),
        variables={"system_in_last": True},
        media={"image": "[IMG]"},
        rewrites="the system message moves to the last question",
        source="mistralai/Pixtral-12B-2409",
    )


@plugin
class MistralSmall(FamilyTemplate):
    """Mistral Small 3.2, with tools and images."""

    traits = TemplateFacts(
        name="mistral_small",
        file="mistral_system.jinja",
        models=(r"mistral-small-3\.2",),
        default_system=SMALL_3_2,
        calls=MISTRAL_NAMED,
        variables={"own_system": SMALL_3_2, "with_identifiers": True},
        media={"image": "[IMG]"},
        rewrites=_TOOLS_MOVE,
        aliases={"mistral_small_3_2": "Mistral Small 3 and 3.1 are template=mistral_small_3"},
        source="mistralai/Mistral-Small-3.2-24B-Instruct-2506",
    )


@plugin
class MistralLarge2411(FamilyTemplate):
    """Mistral Large of November 2024, without tools."""

    traits = TemplateFacts(
        name="mistral_large_2411",
        file="mistral_system.jinja",
        models=(r"mistral-large-.*2411",),
        variables={"space": " ", "without_tools": True},
        source="mistralai/Mistral-Large-Instruct-2411",
    )


@plugin
class MistralSmall3(FamilyTemplate):
    """Mistral Small 3 and 3.1, without tools."""

    traits = TemplateFacts(
        name="mistral_small_3",
        file="mistral_system.jinja",
        models=(r"mistral-small-24b", r"mistral-small-3\.1"),
        default_system=SMALL_3,
        variables={"own_system": SMALL_3, "without_tools": True},
        media={"image": "[IMG]"},
        source="mistralai/Mistral-Small-24B-Instruct-2501",
    )


@plugin
class Devstral(FamilyTemplate):
    """Devstral Small, with tools and images."""

    traits = TemplateFacts(
        name="devstral",
        file="mistral_system.jinja",
        models=(r"devstral",),
        default_system=DEVSTRAL,
        calls=MISTRAL_NAMED,
        variables={"own_system": DEVSTRAL, "tools_first": True},
        media={"image": "[IMG]"},
        source="mistralai/Devstral-Small-2507",
    )


@plugin
class Ministral3(FamilyTemplate):
    """Ministral 3 Instruct, with tools and images, without a system message of its own."""

    traits = TemplateFacts(
        name="ministral3",
        file="mistral_system.jinja",
        models=(r"ministral-3-", r"mistral-large-3"),
        model_types=("ministral3",),
        calls=MISTRAL_NAMED,
        variables={"tools_first": True},
        media={"image": "[IMG]"},
        source="mistralai/Ministral-3-8B-Instruct-2512",
    )


@plugin
class Ministral3Reasoning(ThinkingTemplate):
    """Ministral 3 Reasoning and Magistral, which think, with tools and images."""

    traits = TemplateFacts(
        name="ministral3_reasoning",
        file="mistral_system.jinja",
        models=(r"ministral-3-.*reasoning", r"magistral"),
        default_system=REASONING,
        calls=MISTRAL_NAMED,
        thinking=_THINKING,
        variables={"own_system": REASONING, "tools_first": True, "thinking": True},
        media={"image": "[IMG]"},
        aliases={"magistral": ""},
        source="mistralai/Ministral-3-14B-Reasoning-2512",
    )
