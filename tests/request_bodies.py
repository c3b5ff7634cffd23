"""Bodies of requests with most of the fields that a server's routes know."""

from typing import Any

_TOOL = {
    "name": "add",
    "description": "Adds.",
    "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
}
_MESSAGES = [
    {"role": "system", "content": "You are a test."},
    {"role": "user", "content": [{"type": "text", "text": "Who are you?"}]},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}],
    },
    {"role": "tool", "tool_call_id": "call_1", "content": "1"},
    {"role": "user", "content": "And now?", "name": "someone"},
]
_SAMPLED = {"max_tokens": 4, "temperature": 0.5, "top_p": 0.9, "stop": ["x"], "seed": 1, "user": "test"}
_CHOSEN = {"n": 2, "logit_bias": {"5": 1.5}, "presence_penalty": 0.1, "frequency_penalty": 0.1, "top_k": 5}

BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {
        "model": "base",
        "messages": _MESSAGES,
        "tools": [{"type": "function", "function": _TOOL}],
        "tool_choice": {"type": "function", "function": {"name": "add"}},
        "parallel_tool_calls": True,
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": _TOOL["parameters"]}},
        "stream": False,
        "stream_options": {"include_usage": True},
        "logprobs": True,
        "top_logprobs": 2,
        "chat_template_kwargs": {"enable_thinking": False},
        "reasoning_effort": "low",
        "min_p": 0.1,
        "repetition_penalty": 1.1,
        **_SAMPLED,
        **_CHOSEN,
    },
    "/v1/completions": {
        "model": "base",
        "prompt": ["Who", "are"],
        "echo": True,
        "logprobs": 1,
        "best_of": 2,
        "stream": False,
        **_SAMPLED,
        **_CHOSEN,
    },
    "/v1/responses": {
        "model": "base",
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}],
        "instructions": "Be short.",
        "tools": [{"type": "function", **_TOOL}],
        "tool_choice": "auto",
        "text": {"format": {"type": "text"}},
        "reasoning": {"effort": "low"},
        "previous_response_id": None,
        "store": True,
        "max_output_tokens": 4,
        "temperature": 0.5,
    },
    "/v1/messages": {
        "model": "base",
        "system": [{"type": "text", "text": "Be short."}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "add", "input": {"a": 1}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "1"}]},
        ],
        "tools": [{"name": "add", "description": "Adds.", "input_schema": _TOOL["parameters"]}],
        "tool_choice": {"type": "any"},
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "metadata": {"user_id": "x"},
        "stop_sequences": ["x"],
        "max_tokens": 4,
        "temperature": 0.5,
        "top_k": 5,
    },
    "/v1/messages/count_tokens": {"model": "base", "messages": [{"role": "user", "content": "Hi"}]},
    "/v1/embeddings": {"model": "base", "input": ["Hi", "Ho"], "encoding_format": "float", "dimensions": 8},
    "/v1/rerank": {"model": "base", "query": "Hi", "documents": ["Hi", {"text": "Ho"}], "top_n": 1},
    "/score": {"model": "base", "text_1": "Hi", "text_2": ["Ho", "Hi"]},
    "/v1/score/evaluation": {"model": "base", "messages": ["Hi", "Ho"], "max_length": 16},
    "/tokenize": {"model": "base", "messages": _MESSAGES[:2], "add_generation_prompt": True},
    "/detokenize": {"model": "base", "tokens": [5, 6, 7]},
    "/v1/load_lora_adapter": {"lora_name": "x", "lora_path": "/nowhere"},
    "/v1/unload_lora_adapter": {"lora_name": "x"},
}
"""A body with many of the fields of each route, which values are changed in."""
