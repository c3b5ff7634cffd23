"""The formats of early Chinese models that mark turns with tokens."""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, TemplateFacts
from tunesmith_library_chat.facts import tuned

_BARE = "only the last answer is followed by the end of sequence, as the official format has it"
_WUKONG = (
    "<|system|>\nYou are a creative super artificial intelligence assistant, possessing all the "
    "knowledge of humankind. Your name is csg-wukong, developed by OpenCSG. You need to understand and "
    "infer the true intentions of users based on the topics discussed in the chat history, and respond "
    "to user questions correctly as required. You enjoy responding to users with accurate and "
    "insightful answers. Please pay attention to the appropriate style and format when replying, try "
    "to avoid repetitive words and sentences, and keep your responses as concise and profound as "
    "possible. You carefully consider the context of the discussion when replying to users. When the "
    'user says "continue," please proceed with the continuation of the previous assistant\'s '
    "response.</s>"
)
_YAYI = (
    "You are a helpful, respectful and honest assistant named YaYi developed by Beijing Wenge "
    "Technology Co.,Ltd. Always answer as helpfully as possible, while being safe. Your answers "
    "should not include any harmful, unethical, racist, sexist, toxic, dangerous, or illegal content. "
    "Please ensure that your responses are socially unbiased and positive in nature.\n\nIf a question "
    "does not make any sense, or is not factually coherent, explain why instead of answering something "
    "not correct. If you don't know the answer to a question, please don't share false information."
)


@plugin
class Baichuan(FamilyTemplate):
    """Baichuan 1: a reserved token before each turn, and nothing behind an answer"""

    traits = TemplateFacts(
        name="baichuan",
        file="turns.jinja",
        models=(r"baichuan-\d+b-chat", tuned("baichuan")),
        variables={
            "trim_system": True,
            "user_open": "<reserved_102>",
            "answer_open": "<reserved_103>",
            "history_end": "",
        },
        rewrites=_BARE,
        source="baichuan-inc/Baichuan-13B-Chat",
    )


@plugin
class Baichuan2(FamilyTemplate):
    """Baichuan 2: as Baichuan 1, with other reserved tokens"""

    traits = TemplateFacts(
        name="baichuan2",
        file="turns.jinja",
        models=(r"baichuan2[-_]\d+b[-_]chat", tuned("baichuan2")),
        variables={
            "trim_system": True,
            "user_open": "<reserved_106>",
            "answer_open": "<reserved_107>",
            "history_end": "",
        },
        rewrites=_BARE,
        source="baichuan-inc/Baichuan2-13B-Chat",
    )


@plugin
class BlueLM(FamilyTemplate):
    """BlueLM: `[|Human|]:` and `[|AI|]:`"""

    traits = TemplateFacts(
        name="bluelm",
        file="turns.jinja",
        models=(r"bluelm-\d+b-chat",),
        variables={"bos": True, "user_open": "[|Human|]:", "answer_open": "[|AI|]:"},
        source="vivo-ai/BlueLM-7B-Chat",
    )


@plugin
class CPM(FamilyTemplate):
    """MiniCPM 1 and 2: `<用户>…<AI>…`, and nothing behind an answer"""

    traits = TemplateFacts(
        name="cpm",
        file="turns.jinja",
        models=("minicpm-([12]b|bf16)", "minicpm-moe"),
        variables={"trim": True, "user_open": "<用户>", "user_close": "<AI>", "history_end": "", "systems": True},
        rewrites=_BARE,
        aliases={"minicpm": ""},
        source="openbmb/MiniCPM-2B-dpo-bf16",
    )


@plugin
class Index(FamilyTemplate):
    """Index: reserved tokens around the question, and nothing behind an answer"""

    traits = TemplateFacts(
        name="index",
        file="turns.jinja",
        models=(r"index-1\.9b-(chat|character|32k)", tuned("index", r"1\.9b")),
        variables={"system_open": "<unk>", "user_open": "reserved_0", "answer_open": "reserved_1", "history_end": ""},
        rewrites=_BARE,
        source="IndexTeam/Index-1.9B-Chat",
    )


@plugin
class Megrez(FamilyTemplate):
    """Megrez: `<|role_start|>user<|role_end|>…<|turn_end|>`, a system message of its own"""

    traits = TemplateFacts(
        name="megrez",
        file="turns.jinja",
        models=("megrez-3b-instruct",),
        stop=("<|turn_end|>",),
        variables={
            "systems": True,
            "system_open": "<|role_start|>system<|role_end|>",
            "system_close": "<|turn_end|>",
            "user_open": "<|role_start|>user<|role_end|>",
            "user_close": "<|turn_end|>",
            "answer_open": "<|role_start|>assistant<|role_end|>",
            "answer_end": "<|turn_end|>",
            "own_system": "你是Megrez-3B-Instruct，将针对用户的问题给出详细的、积极的回答。",
        },
        source="Infinigence/Megrez-3B-Instruct",
    )


@plugin
class Wukong(FamilyTemplate):
    """csg-wukong: the turns of Zephyr, a long system message of its own, another one bare"""

    traits = TemplateFacts(
        name="wukong",
        file="turns.jinja",
        models=("csg-wukong",),
        stop=("</s>",),
        variables={
            "system_close": "\n",
            "user_open": "<|user|>\n",
            "user_close": "</s>\n",
            "answer_open": "<|assistant|>\n",
            "answer_end": "</s>",
            "answer_close": "\n",
            "own_system": _WUKONG,
        },
        source="opencsg/csg-wukong-1B-chat-v0.1",
    )


@plugin
class Yayi(FamilyTemplate):
    """YaYi: `<|Human|>:` and `<|YaYi|>:` on lines of their own"""

    traits = TemplateFacts(
        name="yayi",
        file="turns.jinja",
        models=("yayi",),
        stop=("<|End|>",),
        variables={
            "system_open": "<|System|>:\n",
            "system_close": "\n\n",
            "user_open": "<|Human|>:\n",
            "user_close": "\n\n",
            "answer_open": "<|YaYi|>:\n",
            "answer_end": "<|End|>",
            "answer_close": "\n\n",
            "own_system": _YAYI,
        },
        source="wenge-research/yayi-7b-llama2",
    )


@plugin
class Yuan(FamilyTemplate):
    """Yuan 2: `…<n>…<n>…<sep>…<eod>`"""

    traits = TemplateFacts(
        name="yuan",
        file="yuan.jinja",
        models=("^yuan2",),
        stop=("<eod>",),
        rewrites="<sep> and the end stand at the last answer alone",
        source="IEITYuan/Yuan2-2B-Janus-hf",
    )
