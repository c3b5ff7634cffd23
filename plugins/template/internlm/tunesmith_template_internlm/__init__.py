"""The formats of Shanghai AI Laboratory's models: InternLM, InternVL and Intern-S1."""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, SwitchedTemplate, TemplateFacts, Thinking
from tunesmith_library_chat.calls import HERMES, INTERNLM
from tunesmith_library_chat.facts import tuned

_CHATML = {
    "system_open": "<|im_start|>system\n",
    "system_close": "<|im_end|>\n",
    "user_open": "<|im_start|>user\n",
    "user_close": "<|im_end|>\n",
    "answer_open": "<|im_start|>assistant\n",
    "answer_end": "<|im_end|>",
    "answer_close": "\n",
}
_INTERNLM = (
    "You are an AI assistant whose name is InternLM (书生·浦语).\n- InternLM (书生·浦语) is a "
    "conversational language model that is developed by Shanghai AI Laboratory (上海人工智能实验室). "
    "It is designed to be helpful, honest, and harmless.\n- InternLM (书生·浦语) can understand and "
    "communicate fluently in the language chosen by the user such as English and 中文."
)


@plugin
class Intern(FamilyTemplate):
    """InternLM 1: `<|User|>:` and `<|Bot|>:`"""

    traits = TemplateFacts(
        name="intern",
        file="turns.jinja",
        models=(r"internlm-chat-\d+b", r"internlm-\d+b-chat"),
        stop=("<eoa>",),
        variables={
            "bos": True,
            "system_open": "<|System|>:",
            "system_close": "\n",
            "user_open": "<|User|>:",
            "user_close": "\n",
            "answer_open": "<|Bot|>:",
            "answer_end": "<eoa>",
            "answer_close": "\n",
            "own_system": _INTERNLM,
        },
        aliases={"internlm": "InternLM 2 is template=intern2"},
        source="internlm/internlm-chat-7b",
    )


@plugin
class Intern2(FamilyTemplate):
    """InternLM 2 to 3: ChatML behind the begin of sequence"""

    traits = TemplateFacts(
        name="intern2",
        file="turns.jinja",
        models=("internlm[23].*(chat|instruct|math-plus)", tuned(r"internlm[23](?:[._]5)?")),
        stop=("<|im_end|>",),
        variables={**_CHATML, "bos": True, "systems": True},
        aliases={"internlm2": "", "intern3": ""},
        source="internlm/internlm3-8b-instruct",
    )


@plugin
class InternVL(FamilyTemplate):
    """InternVL 2 and 2.5: ChatML with a system message of its own, images and videos"""

    traits = TemplateFacts(
        name="intern_vl",
        file="turns_media.jinja",
        models=("internvl",),
        stop=("<|im_end|>",),
        variables={
            **_CHATML,
            "own_system": "You are a helpful assistant.",
            "image": "<IMG_CONTEXT>\n",
            "video": "<video>\n",
        },
        media={"image": "<IMG_CONTEXT>", "video": "<video>"},
        source="OpenGVLab/InternVL2_5-8B",
    )


@plugin
class InternVL3(FamilyTemplate):
    """InternVL 3: the format of Qwen2.5, with tools, images and videos"""

    traits = TemplateFacts(
        name="intern_vl3",
        file="intern_vl3.jinja",
        models=("internvl3",),
        stop=("<|im_end|>",),
        default_system="You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
        calls=HERMES,
        media={"image": "<IMG_CONTEXT>", "video": "<video>"},
        source="OpenGVLab/InternVL3-8B",
    )


@plugin
class InternS1(SwitchedTemplate):
    """Intern-S1: thinks, or does not; with tools, images and videos"""

    traits = TemplateFacts(
        name="intern_s1",
        file="intern_s1.jinja",
        models=("intern-s1",),
        model_types=("interns1",),
        stop=("<|im_end|>",),
        calls=INTERNLM,
        thinking=Thinking(switch="enable_thinking"),
        media={"image": "<IMG_CONTEXT>", "video": "<video>"},
        rewrites="the last answer has a thought, be it empty",
        source="internlm/Intern-S1-mini",
    )
