"""The formats of TII's Falcon models, which differ from one generation to the next."""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, TemplateFacts
from tunesmith_library_chat.calls import HERMES

_BARE = "the end of sequence stands behind the last answer alone"


@plugin
class Falcon(FamilyTemplate):
    """Falcon 7B and 40B Instruct: `User:` and `Assistant:`, a blank line between them."""

    traits = TemplateFacts(
        name="falcon",
        file="falcon.jinja",
        models=(r"falcon-(7|40)b",),
        rewrites=_BARE,
        aliases={"falcon1": "Falcon 180B Chat has template=falcon_180b_chat"},
        source="tiiuae/falcon-7b-instruct",
    )


@plugin
class Falcon180BChat(FamilyTemplate):
    """Falcon 180B Chat: `User:` and `Falcon:`, one line each."""

    traits = TemplateFacts(
        name="falcon_180b_chat",
        file="turns.jinja",
        models=(r"falcon-180b",),
        variables={
            "system_open": "System: ",
            "system_close": "\n",
            "user_open": "User: ",
            "user_close": "\n",
            "answer_open": "Falcon: ",
            "prompt": "Falcon:",
            "history_end": "",
            "answer_close": "\n",
        },
        rewrites=_BARE,
        source="tiiuae/falcon-180B-chat, app.py of its demo",
    )


@plugin
class Falcon2(FamilyTemplate):
    """Falcon 2, of 11B: `User:` and `Falcon:`."""

    traits = TemplateFacts(
        name="falcon2",
        file="falcon2.jinja",
        models=(r"falcon-?2?-11b",),
        source="tiiuae/falcon-11B",
    )


@plugin
class Falcon3(FamilyTemplate):
    """Falcon 3: `<|user|>` and `<|assistant|>`."""

    traits = TemplateFacts(
        name="falcon3",
        file="falcon3.jinja",
        models=(r"falcon3-",),
        source="tiiuae/Falcon3-7B-Instruct",
    )


@plugin
class FalconH1(FamilyTemplate):
    """Falcon H1: ChatML with tools."""

    traits = TemplateFacts(
        name="falcon_h1",
        file="falcon_h1.jinja",
        models=(r"falcon-h1",),
        model_types=("falcon_h1",),
        stop=("<|im_end|>",),
        calls=HERMES,
        source="tiiuae/Falcon-H1-7B-Instruct",
    )
