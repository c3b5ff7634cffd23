"""The formats of TII's Falcon models, which differ from one generation to the next."""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, TemplateFacts
from tunesmith_library_chat.calls import HERMES


@plugin
class Falcon(FamilyTemplate):
    """Falcon 7B and 40B Instruct, and Falcon 180B Chat: `User:` and `Assistant:`."""

    traits = TemplateFacts(
        name="falcon",
        file="falcon.jinja",
        models=(r"falcon-(7|40|180)b",),
        aliases={"falcon1": ""},
        source="tiiuae/falcon-7b-instruct",
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
