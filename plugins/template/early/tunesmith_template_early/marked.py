"""The formats of Zephyr, OpenChat, Breeze and others, which mark turns with a few tokens."""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, TemplateFacts

_BARE = "only the last answer is followed by the end of sequence, as the official format has it"
_BREEZE = (
    "You are a helpful AI assistant built by MediaTek Research. The user you are helping speaks "
    "Traditional Chinese and comes from Taiwan."
)


@plugin
class Zephyr(FamilyTemplate):
    """Zephyr: `<|user|>` and `<|assistant|>`, each on a line of its own"""

    traits = TemplateFacts(
        name="zephyr",
        file="turns.jinja",
        models=(r"zephyr-(orpo-)?\d+b(?!-gemma)",),
        variables={
            "systems": True,
            "system_open": "<|system|>\n",
            "system_close": "\n",
            "user_open": "<|user|>\n",
            "user_close": "\n",
            "ended": True,
            "answer_open": "<|assistant|>\n",
            "answer_close": "\n",
        },
        source="HuggingFaceH4/zephyr-7b-beta",
    )


@plugin
class AlphaMonarch(FamilyTemplate):
    """AlphaMonarch: `<s>user` up to `</s>`, each on lines of its own"""

    traits = TemplateFacts(
        name="alpha_monarch",
        file="turns.jinja",
        models=("alphamonarch",),
        stop=("</s>",),
        variables={
            "systems": True,
            "system_open": "<s>system\n",
            "system_close": "</s>\n",
            "user_open": "<s>user\n",
            "user_close": "</s>\n",
            "answer_open": "<s>assistant\n",
            "answer_end": "</s>",
            "answer_close": "\n",
        },
        source="mlabonne/AlphaMonarch-7B",
    )


@plugin
class FusionNet(FamilyTemplate):
    """FusionNet: the marks of Llama 2, of which a first question without a system message has the last only"""

    traits = TemplateFacts(
        name="fusion_net",
        file="fusion_net.jinja",
        models=("fusionnet",),
        source="TheBloke/FusionNet_34Bx2_MoE-AWQ",
    )


@plugin
class Starchat(FamilyTemplate):
    """StarChat: `<|user|>` and `<|assistant|>` up to `<|end|>`; a system turn, be it empty, in every conversation"""

    traits = TemplateFacts(
        name="starchat",
        file="turns.jinja",
        models=("starchat",),
        stop=("<|end|>",),
        variables={
            "system_open": "<|system|>\n",
            "system_close": "<|end|>\n",
            "user_open": "<|user|>\n",
            "user_close": "<|end|>\n",
            "answer_open": "<|assistant|>\n",
            "prompt": "<|assistant|>",
            "answer_end": "<|end|>",
            "answer_close": "\n",
            "own_system": "",
        },
        source="bigcode-project/starcoder, chat/dialogues.py",
    )


@plugin
class Tulu(FamilyTemplate):
    """Tülu 2: `<|user|>` and `<|assistant|>` without an end behind questions"""

    traits = TemplateFacts(
        name="tulu",
        file="turns.jinja",
        models=("tulu-?(v?2|1)", r"tulu-v\d"),
        system=False,
        variables={
            "drops_system": True,
            "system_open": "<|system|>\n",
            "system_close": "\n",
            "user_open": "<|user|>\n",
            "user_close": "\n",
            "answer_open": "<|assistant|>\n",
            "answer_close": "\n",
        },
        aliases={"tulu2": ""},
        source="allenai/tulu-2-7b",
    )


@plugin
class Tulu3(FamilyTemplate):
    """Tülu 3: as Tülu 2, without the line break behind the last answer"""

    traits = TemplateFacts(
        name="tulu3",
        file="turns.jinja",
        models=(r"(llama-3\.1-)?tulu-?3",),
        variables={
            "system_open": "<|system|>\n",
            "system_close": "\n",
            "user_open": "<|user|>\n",
            "user_close": "\n",
            "answer_open": "<|assistant|>\n",
            "answer_close": "\n",
            "last_close": "",
        },
        source="allenai/Llama-3.1-Tulu-3-8B",
    )


@plugin
class Openchat(FamilyTemplate):
    """OpenChat 3.5: `GPT4 Correct User: …<|end_of_turn|>`"""

    traits = TemplateFacts(
        name="openchat",
        file="turns.jinja",
        models=(r"openchat[-_]?3\.5", "starling-lm"),
        stop=("<|end_of_turn|>",),
        variables={
            "systems": True,
            "bos": True,
            "system_open": "GPT4 Correct System: ",
            "system_close": "<|end_of_turn|>",
            "user_open": "GPT4 Correct User: ",
            "user_close": "<|end_of_turn|>",
            "answer_open": "GPT4 Correct Assistant: ",
            "prompt": "GPT4 Correct Assistant:",
            "answer_end": "<|end_of_turn|>",
        },
        source="openchat/openchat-3.5-0106",
    )


@plugin
class Openchat36(FamilyTemplate):
    """OpenChat 3.6: the headers of Llama 3 with `GPT4 Correct User` and `GPT4 Correct Assistant`"""

    traits = TemplateFacts(
        name="openchat3_6",
        file="turns.jinja",
        models=(r"openchat[-_]?3\.6",),
        stop=("<|eot_id|>",),
        variables={
            "systems": True,
            "bos": True,
            "trim": True,
            "system_open": "<|start_header_id|>System<|end_header_id|>\n\n",
            "system_close": "<|eot_id|>",
            "user_open": "<|start_header_id|>GPT4 Correct User<|end_header_id|>\n\n",
            "user_close": "<|eot_id|>",
            "answer_open": "<|start_header_id|>GPT4 Correct Assistant<|end_header_id|>\n\n",
            "answer_end": "<|eot_id|>",
        },
        aliases={"openchat-3.6": ""},
        source="openchat/openchat-3.6-8b-20240522",
    )


@plugin
class SeaLLM(FamilyTemplate):
    """SeaLLM 2.5: ChatML with `<eos>` for `<|im_end|>`"""

    traits = TemplateFacts(
        name="seallm",
        file="turns.jinja",
        models=(r"seallm-.*v2\.5",),
        stop=("<eos>",),
        variables={
            "systems": True,
            "bos": True,
            "user_open": "<|im_start|>user\n",
            "user_close": "<eos>\n",
            "answer_open": "<|im_start|>assistant\n",
            "answer_end": "<eos>",
            "answer_close": "\n",
            "system_open": "<|im_start|>system\n",
            "system_close": "<eos>\n",
        },
        source="SeaLLMs/SeaLLM-7B-v2.5",
    )


@plugin
class SeaLLM3(FamilyTemplate):
    """SeaLLMs 3: ChatML with a system message of its own"""

    traits = TemplateFacts(
        name="seallm3",
        file="turns.jinja",
        models=("seallms-v3",),
        stop=("<|im_end|>",),
        variables={
            "user_open": "<|im_start|>user\n",
            "user_close": "<|im_end|>\n",
            "answer_open": "<|im_start|>assistant\n",
            "answer_end": "<|im_end|>",
            "answer_close": "\n",
            "system_open": "<|im_start|>system\n",
            "system_close": "<|im_end|>\n",
            "own_system": "You are a helpful assistant.",
            "question_asks": True,
        },
        source="SeaLLMs/SeaLLMs-v3-7B-Chat",
    )


@plugin
class Breeze(FamilyTemplate):
    """Breeze 1.0: `[INST] … [/INST]`, and nothing behind an answer"""

    traits = TemplateFacts(
        name="breeze",
        file="turns.jinja",
        models=("breeze-7b-instruct",),
        variables={
            "bos": True,
            "begin": " ",
            "trim_system": True,
            "system_close": " ",
            "user_open": " [INST] ",
            "user_close": " [/INST] ",
            "history_end": "",
            "own_system": _BREEZE,
        },
        rewrites=_BARE,
        source="MediaTek-Research/Breeze-7B-Instruct-v1_0",
    )


@plugin
class Breeze01(FamilyTemplate):
    """Breeze 0.1: as 1.0, with other white space"""

    traits = TemplateFacts(
        name="breeze_v0_1",
        file="turns.jinja",
        models=("breeze-7b-.*v0",),
        variables={
            "bos": True,
            "trim_system": True,
            "system_close": "   ",
            "user_open": "[INST] ",
            "user_close": " [/INST] ",
            "history_end": " ",
            "own_system": _BREEZE,
        },
        rewrites=_BARE,
        source="MediaTek-Research/Breeze-7B-Instruct-v0_1",
    )
