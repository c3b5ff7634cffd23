"""The formats of NVIDIA's Nemotron models: ChatML; Nemotron 3 lists tools and writes calls as XML, and thinks."""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, SwitchedTemplate, TemplateFacts, Thinking, ThinkingTemplate
from tunesmith_library_chat.calls import NEMOTRON, QWEN_XML

_STOP = ("<|im_end|>",)


@plugin
class NemotronH(FamilyTemplate):
    """Nemotron-H, without tools."""

    traits = TemplateFacts(
        name="nemotron_h",
        file="nemotron_h.jinja",
        models=(r"nemotron-h",),
        stop=_STOP,
        source="nvidia/Nemotron-H-8B-Reasoning-128K",
    )


@plugin
class NemotronNano2(ThinkingTemplate):
    """Nemotron Nano v2, with tools, which thinks unless a message says `/no_think`."""

    traits = TemplateFacts(
        name="nemotron_nano2",
        file="nemotron_nano2.jinja",
        models=(r"nemotron-nano-\d+b-v2",),
        stop=("<SPECIAL_12>",),
        calls=NEMOTRON,
        thinking=Thinking(),
        rewrites="only the last answer keeps its thought",
        source="nvidia/NVIDIA-Nemotron-Nano-9B-v2",
    )


@plugin
class NemotronSuper(ThinkingTemplate):
    """Llama 3.3 Nemotron Super v1.5, with tools, which thinks unless its system message says `/no_think`."""

    traits = TemplateFacts(
        name="nemotron_super",
        file="nemotron_super.jinja",
        models=(r"llama-3[._]3-nemotron-super-49b-v1[._]5",),
        stop=("<|eot_id|>",),
        calls=NEMOTRON,
        thinking=Thinking(),
        rewrites="only the answer that is trained has its thought",
        source="nvidia/Llama-3_3-Nemotron-Super-49B-v1_5",
    )


@plugin
class Nemotron3(SwitchedTemplate):
    """Nemotron 3 Nano and Super, which think or do not, with tools."""

    traits = TemplateFacts(
        name="nemotron3",
        file="nemotron3.jinja",
        models=(r"nemotron-3(?!-8b)", r"nemotron-nano-3"),
        stop=_STOP,
        calls=QWEN_XML,
        thinking=Thinking(switch="enable_thinking"),
        plain={"enable_thinking": False},
        rewrites="thoughts before the last question are dropped",
        source="nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16",
    )

    truncate_history_thinking: bool | None = None  # false writes, and trains, the thoughts of earlier answers too


@plugin
class Nemotron3Ultra(Nemotron3):
    """Nemotron 3 Ultra: the format of Nano without line breaks at the end of a thought."""

    traits = TemplateFacts(
        name="nemotron3_ultra",
        file="nemotron3.jinja",
        models=(r"nemotron-3-ultra", r"nemotron-3\.5"),
        stop=_STOP,
        calls=QWEN_XML,
        thinking=Thinking(switch="enable_thinking"),
        plain={"enable_thinking": False},
        variables={"tight": True},
        rewrites="thoughts before the last question are dropped",
        source="nvidia/NVIDIA-Nemotron-3-Ultra",
    )
