"""The formats of early Chinese models that name who speaks."""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, TemplateFacts
from tunesmith_library_chat.facts import tuned

_BARE = "only the last answer is followed by the end of sequence, as the official format has it"
_CURIOUS_HUMAN = (
    "A chat between a curious human and an artificial intelligence assistant. The assistant gives "
    "helpful, detailed, and polite answers to the human's questions."
)
_XUANYUAN = (
    "以下是用户和人工智能助手之间的对话。用户以Human开头，人工智能助手以Assistant开头，会对人类提出的问"
    "题给出有帮助、高质量、详细和礼貌的回答，并且总是拒绝参与 与不道德、不安全、有争议、政治敏感等相关的"
    "话题、问题和指示。\n"
)
_YI_VL = (
    "This is a chat between an inquisitive human and an AI assistant. Assume the role of the AI "
    "assistant. Read all the images carefully, and respond to the human's questions with informative, "
    "helpful, detailed and polite answers. 这是一个好奇的人类和一个人工智能助手之间的对话。假设你扮演这"
    "个AI助手的角色。仔细阅读所有的图像，并对人类的问题做出信息丰富、有帮助、详细的和礼貌的回答。"
)


@plugin
class Aquila(FamilyTemplate):
    """AquilaChat: `Human: …###Assistant: …###`"""

    traits = TemplateFacts(
        name="aquila",
        file="turns.jinja",
        models=("aquilachat-",),
        stop=("###", "</s>"),
        variables={
            "system_close": "###",
            "user_open": "Human: ",
            "user_close": "###",
            "answer_open": "Assistant: ",
            "prompt": "Assistant:",
            "answer_end": "###",
            "own_system": _CURIOUS_HUMAN,
        },
        source="lm-sys/FastChat, fastchat/conversation.py (aquila-chat)",
    )


@plugin
class Atom(FamilyTemplate):
    """Atom (Llama2-Chinese): `<s>Human: …\n</s><s>Assistant: …</s>`"""

    traits = TemplateFacts(
        name="atom",
        file="turns.jinja",
        models=(r"atom-\d+b-chat", r"llama2-chinese-\d+b-chat"),
        stop=("</s>",),
        variables={
            "user_open": "<s>Human: ",
            "user_close": "\n</s>",
            "answer_open": "<s>Assistant: ",
            "answer_end": "</s>",
        },
        source="FlagAlpha/Atom-7B-Chat",
    )


@plugin
class Belle(FamilyTemplate):
    """BELLE: `Human: …` and `Belle: …`"""

    traits = TemplateFacts(
        name="belle",
        file="turns.jinja",
        models=("belle-",),
        variables={
            "bos": True,
            "user_open": "Human: ",
            "user_close": "\n\n",
            "answer_open": "Belle: ",
            "answer_close": "\n\n",
        },
        source="BelleGroup/BELLE-LLaMA-EXT-13B",
    )


@plugin
class CodeShell(FamilyTemplate):
    """CodeShell: `## human: …|<end>|` and `## assistant: …|<end>|`"""

    traits = TemplateFacts(
        name="codeshell",
        file="turns.jinja",
        models=("codeshell",),
        stop=("|<end>|",),
        variables={
            "user_open": "## human: ",
            "user_close": "|<end>|",
            "answer_open": "## assistant: ",
            "answer_end": "|<end>|",
            "drops_system": True,
            "asks": True,
        },
        system=False,
        source="WisdomShell/CodeShell-7B-Chat",
    )


@plugin
class Orion(FamilyTemplate):
    """Orion: `Human: …\n\nAssistant: </s>…</s>`"""

    traits = TemplateFacts(
        name="orion",
        file="turns.jinja",
        models=(r"orion-14b-.*chat", tuned("orion")),
        stop=("</s>",),
        variables={
            "begin": "<s>",
            "user_open": "Human: ",
            "user_close": "\n\nAssistant: </s>",
            "answer_end": "</s>",
            "drops_system": True,
        },
        system=False,
        source="OrionStarAI/Orion-14B-Chat",
    )


@plugin
class XuanYuan(FamilyTemplate):
    """XuanYuan: `Human: …` and `Assistant: …` on one line"""

    traits = TemplateFacts(
        name="xuanyuan",
        file="turns.jinja",
        models=("xuanyuan.*chat",),
        variables={
            "system_close": " ",
            "user_open": "Human: ",
            "user_close": " ",
            "answer_open": "Assistant: ",
            "prompt": "Assistant:",
            "own_system": _XUANYUAN,
        },
        source="Duxiaoman-DI/XuanYuan, README.md",
    )


@plugin
class Xverse(FamilyTemplate):
    """XVERSE: `Human: …` and `Assistant: …`, a blank line between them"""

    traits = TemplateFacts(
        name="xverse",
        file="turns.jinja",
        models=(r"xverse-.*chat", tuned("xverse")),
        variables={"user_open": "Human: ", "user_close": "\n\n", "answer_open": "Assistant: "},
        source="xverse/XVERSE-13B-Chat",
    )


@plugin
class YiVL(FamilyTemplate):
    """Yi-VL: `### Human: …` and `### Assistant:…`, with images"""

    traits = TemplateFacts(
        name="yi_vl",
        file="turns_media.jinja",
        models=("yi-vl",),
        stop=("###",),
        variables={
            "image": "<image>\n",
            "system_close": "\n\n",
            "user_open": "### Human: ",
            "next_user_open": " Human: ",
            "user_close": "\n",
            "answer_open": "### Assistant:",
            "answer_end": "\n###",
            "own_system": _YI_VL,
        },
        media={"image": "<image>"},
        source="01-ai/Yi-VL-6B",
    )


@plugin
class Ziya(FamilyTemplate):
    """Ziya: `<human>:…` and `<bot>:…`, each on a line of its own"""

    traits = TemplateFacts(
        name="ziya",
        file="turns.jinja",
        models=("ziya",),
        variables={
            "bos": True,
            "user_open": "<human>:",
            "user_close": "\n",
            "answer_open": "<bot>:",
            "history_end": "\n",
        },
        rewrites=_BARE,
        source="IDEA-CCNL/Ziya-LLaMA-13B-v1",
    )
