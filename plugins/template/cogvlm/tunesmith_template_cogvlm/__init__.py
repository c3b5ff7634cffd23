"""The formats of CogVLM2 and CogAgent."""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, TemplateFacts


@plugin
class CogVLM2(FamilyTemplate):
    """CogVLM2: the headers of Llama 3, the end of text behind the last answer"""

    traits = TemplateFacts(
        name="cogvlm2",
        file="turns.jinja",
        models=("cogvlm2", "cogvlm2-.*llama3"),
        stop=("<|eot_id|>",),
        variables={
            "systems": True,
            "bos": True,
            "trim": True,
            "system_open": "<|start_header_id|>system<|end_header_id|>\n\n",
            "system_close": "<|eot_id|>",
            "user_open": "<|start_header_id|>user<|end_header_id|>\n\n",
            "user_close": "<|eot_id|>",
            "answer_open": "<|start_header_id|>assistant<|end_header_id|>\n\n",
            "answer_end": "<|eot_id|>",
            "last_close": "<|end_of_text|>",
        },
        rewrites="the end of text stands behind the last answer",
        source="THUDM/cogvlm2-llama3-chat-19B",
    )


@plugin
class CogAgent(FamilyTemplate):
    """CogAgent: ChatML"""

    traits = TemplateFacts(
        name="cogagent",
        file="turns.jinja",
        models=("cogagent",),
        stop=("<|im_end|>",),
        variables={
            "systems": True,
            "user_open": "<|im_start|>user\n",
            "user_close": "<|im_end|>\n",
            "answer_open": "<|im_start|>assistant\n",
            "answer_end": "<|im_end|>",
            "answer_close": "\n",
            "system_open": "<|im_start|>system\n",
            "system_close": "<|im_end|>\n",
        },
        source="zai-org/cogagent-9b-20241220",
    )
