"""The formats of ERNIE 4.5."""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, SwitchedTemplate, TemplateFacts, Thinking, ThinkingTemplate

_LAST = "only the last answer keeps its thought"
_SEEN = {
    "image": "<|IMAGE_START|><|image@placeholder|><|IMAGE_END|>",
    "video": "<|VIDEO_START|><|video@placeholder|><|VIDEO_END|>",
}


@plugin
class ErnieNoThink(FamilyTemplate):
    """ERNIE-4.5 without thoughts."""

    traits = TemplateFacts(
        name="ernie_nothink",
        file="ernie.jinja",
        models=(r"ernie-4\.5",),
        stop=("<|end_of_sentence|>", "</s>"),
        aliases={"ernie4_5": ""},
        source="baidu/ERNIE-4.5-0.3B-PT",
    )


@plugin
class Ernie(ThinkingTemplate):
    """ERNIE-4.5-21B-A3B-Thinking: prompts end with an open `<think>`."""

    traits = TemplateFacts(
        name="ernie",
        file="ernie_thinking.jinja",
        models=(r"ernie-4\.5-\d+b-a3b-thinking",),
        stop=("<|im_end|>",),
        thinking=Thinking(),
        rewrites=_LAST,
        source="baidu/ERNIE-4.5-21B-A3B-Thinking",
    )


@plugin
class ErnieVL(SwitchedTemplate):
    """ERNIE-4.5-VL: prompts end with an open `<think>` unless thoughts are switched off."""

    traits = TemplateFacts(
        name="ernie_vl",
        file="ernie.jinja",
        models=(r"ernie-4\.5-vl",),
        model_types=("ernie4_5_moe_vl", "ernie4_5_vl_moe"),
        stop=("<|end_of_sentence|>", "</s>"),
        thinking=Thinking(switch="enable_thinking"),
        media=_SEEN,
        variables={"media": True, "thinks": True},
        rewrites=_LAST,
        source="baidu/ERNIE-4.5-VL-28B-A3B-PT",
    )
