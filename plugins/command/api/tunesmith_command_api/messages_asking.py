"""From a request in Anthropic's words to a conversation, and to how it is answered."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from tunesmith.types import Conversation, Message
from tunesmith_library_engine import grammars

from .chat_asking import effort_variables, own_variables
from .errors import invalid
from .fields import refuse
from .messages_fields import Block, CountRequest, MessagesRequest, OutputFormat, Turn
from .prompting import Ending
from .service import Service

_IMPOSSIBLE = {
    "mcp_servers": "this server calls no other servers; declare tools, and call them yourself",
    "container": "this server runs no code",
    "diagnostics": "prompts are not compared; usage.cache_read_input_tokens tells what was computed before",
}
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}


def conversation_of(request: CountRequest, service: Service) -> Conversation:
    """Raises: ApiError for what cannot be said, and for a field that cannot be honoured."""
    refuse(request, _IMPOSSIBLE)
    if request.context_management and not _keeps_all(request.context_management):
        message = "context_management is not supported: the whole conversation is read"
        raise invalid(message, "context_management", "unsupported_parameter")
    messages = [*_system(request.system), *_Turns().read(request.messages)]
    if request.tool_choice is not None and request.tool_choice.type == "none":
        return Conversation(messages, None, _variables(request, service))
    return Conversation(messages, _tools(request) or None, _variables(request, service))


def choice_of(request: CountRequest) -> tuple[str, bool]:
    """Which tool is called, as `grammar_of` takes it, and whether there may be several calls.

    Raises: ApiError for a tool that is not there.
    """
    choice, names = request.tool_choice, [tool.name for tool in request.tools or ()]
    if choice is None:
        return "auto", True
    parallel = not choice.disable_parallel_tool_use
    if choice.type != "tool":
        if choice.type == "any" and not names:
            raise invalid("tool_choice asks for a call, and no tools are declared", "tool_choice")
        return _CHOICES[choice.type], parallel
    if choice.name not in names:
        listed = ", ".join(names) or "none"
        raise invalid(f"tool_choice.name: there is no tool {choice.name!r}; declared: {listed}", "tool_choice.name")
    return choice.name, parallel


def ending_of(request: CountRequest) -> Ending:
    """A conversation that ends with what the assistant says is gone on with there. Raises: ApiError."""
    last = request.messages[-1]
    if last.role != "assistant":
        return "prompt"
    if any(block.type != "text" for block in _blocks(last.content)):
        place = f"messages[{len(request.messages) - 1}].content"
        raise invalid(f"{place}: only text that the assistant began can be gone on with", place)
    return "continue"


def text_grammar(request: CountRequest) -> str | None:
    """The grammar of what the text must be. Raises: ApiError; TunesmithError for a schema that is none."""
    asked: OutputFormat | None = request.output_config.format if request.output_config else None
    asked = asked or request.output_format
    if asked is None:
        return None
    if asked.type != "json_schema" or asked.json_schema is None:
        raise invalid(
            f"output_config.format.type {asked.type!r}: it must be json_schema, with a schema", "output_config"
        )
    return grammars.json_schema(asked.json_schema)


def _tools(request: CountRequest) -> list[dict[str, Any]]:
    tools = []
    for index, tool in enumerate(request.tools or ()):
        if tool.type not in (None, "custom"):
            message = f"tools[{index}]: this server has no tool {tool.type!r}; possible: tools of your own"
            raise invalid(message, f"tools[{index}].type")
        described = {"description": tool.description} if tool.description else {}
        function: dict[str, Any] = {
            "name": tool.name,
            **described,
            "parameters": tool.input_schema or {"type": "object"},
        }
        function |= {"strict": tool.strict} if tool.strict is not None else {}
        tools.append({"type": "function", "function": function})
    return tools


def _variables(request: CountRequest, service: Service) -> dict[str, Any]:
    """What is said to the template. Raises: ApiError for thinking that the model cannot begin or leave."""
    effort = request.output_config.effort if request.output_config else None
    made = effort_variables(service.template, effort, "output_config.effort")
    if request.thinking is not None:
        wanted, template = request.thinking.type != "disabled", service.template
        thinks, switches = template.thinking is not None, template.switches_thinking
        if request.thinking.type == "enabled" and not (thinks or switches):
            raise invalid("thinking: this model does not think before it speaks", "thinking")
        if thinks and not wanted and not switches:
            raise invalid("thinking: this model always thinks before it speaks", "thinking")
        made |= {"enable_thinking": wanted} if switches else {}
        if wanted and request.thinking.budget_tokens is not None:
            made["thinking_budget"] = _budget(request, request.thinking.budget_tokens)
    return made | own_variables(request.chat_template_kwargs)


def _keeps_all(management: Any) -> bool:
    """Whether nothing is to be taken out of a conversation, which some clients say of its thoughts."""
    edits = management.get("edits") if isinstance(management, dict) else None
    return isinstance(edits, list) and all(isinstance(edit, dict) and edit.get("keep") == "all" for edit in edits)


def _budget(request: CountRequest, budget: int) -> int:
    if isinstance(request, MessagesRequest) and budget >= request.max_tokens:
        message = f"thinking.budget_tokens={budget} must be below max_tokens={request.max_tokens}"
        raise invalid(message, "thinking.budget_tokens")
    return budget


def _system(system: str | Sequence[Block] | None) -> list[Message]:
    blocks = _blocks(system or "")
    for index, block in enumerate(blocks):
        if block.type != "text":
            raise invalid(f"system[{index}]: it must be text, not {block.type}", f"system[{index}]")
    text = "\n\n".join(block.text or "" for block in blocks)
    return [{"role": "system", "content": text}] if text else []


def _blocks(content: str | Sequence[Block]) -> Sequence[Block]:
    return [Block(type="text", text=content)] if isinstance(content, str) else content


class _Turns:
    """Reads turns into messages; results are given the names of the tools that were called."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}  # of the tools, by the id of the call

    def read(self, turns: Sequence[Turn]) -> list[Message]:
        """Turns of one role that follow on each other become one, as Anthropic's API has it."""
        messages: list[Message] = []
        for index, turn in enumerate(turns):
            path = f"messages[{index}].content"
            for message in self._messages(turn, path):
                if messages and message["role"] == messages[-1]["role"] in ("user", "assistant"):
                    _join(messages[-1], message)
                else:
                    messages.append(message)
        return messages

    def _messages(self, turn: Turn, path: str) -> Iterator[Message]:
        blocks = [(block, f"{path}[{index}]") for index, block in enumerate(_blocks(turn.content))]
        if turn.role == "assistant":
            yield self._said(blocks)
            return
        results = [(block, place) for block, place in blocks if block.type == "tool_result"]
        if any(block.type != "tool_result" for block, _ in blocks[: len(results)]):
            raise invalid(f"{path}: results of tools come before what else a turn holds", path)
        for block, place in results:
            yield self._result(block, place)
        if len(blocks) > len(results) or not blocks:
            yield {"role": turn.role, "content": _content(blocks[len(results) :])}

    def _said(self, blocks: Sequence[tuple[Block, str]]) -> Message:
        said = [(block, place) for block, place in blocks if block.type not in ("thinking", "tool_use")]
        message: Message = {"role": "assistant", "content": _content(said)}
        if thought := "".join(block.thinking or "" for block, _ in blocks if block.type == "thinking"):
            message["reasoning"] = thought
        if calls := [self._call(block, place) for block, place in blocks if block.type == "tool_use"]:
            message["tool_calls"] = calls
        return message

    def _call(self, block: Block, place: str) -> dict[str, Any]:
        if not block.id or not block.name or block.input is None:
            raise invalid(f"{place}: a tool_use has an id, a name and an input", place)
        self._names[block.id] = block.name
        function = {"name": block.name, "arguments": json.dumps(block.input, ensure_ascii=False)}
        return {"id": block.id, "type": "function", "function": function}

    def _result(self, block: Block, place: str) -> Message:
        name = self._names.get(block.tool_use_id or "")
        if name is None:
            message = f"{place}.tool_use_id: no call of the turns before has the id {block.tool_use_id!r}"
            raise invalid(message, f"{place}.tool_use_id")
        inner = [(part, f"{place}.content[{index}]") for index, part in enumerate(_blocks(block.content or ""))]
        content = _content(inner)
        if block.is_error and isinstance(content, str):
            content = f"error: {content}"
        return {"role": "tool", "tool_call_id": block.tool_use_id, "name": name, "content": content}


def _content(blocks: Sequence[tuple[Block, str]]) -> str | list[dict[str, Any]]:
    """Text where there is nothing else, otherwise typed parts. Raises: ApiError."""
    parts = [_part(block, place) for block, place in blocks]
    if all(part["type"] == "text" for part in parts):
        return "".join(part["text"] for part in parts)
    return parts


def _part(block: Block, place: str) -> dict[str, Any]:
    if block.type == "text" and block.text is not None:
        return {"type": "text", "text": block.text}
    if block.type == "image" and block.source is not None:
        return {"type": "image", "source": block.source}
    if block.type in ("text", "image"):
        raise invalid(
            f"{place}: a block of type {block.type} has a {'text' if block.type == 'text' else 'source'}", place
        )
    raise invalid(f"{place}: a block of type {block.type!r} cannot be read; possible here: text, image", place)


def _join(first: Message, second: Message) -> None:
    """Add what a second message of the same role says to the first."""
    if isinstance(first["content"], str) and isinstance(second["content"], str):
        first["content"] = "\n\n".join(text for text in (first["content"], second["content"]) if text)
    else:
        first["content"] = [*_as_parts(first["content"]), *_as_parts(second["content"])]
    if second.get("reasoning"):
        first["reasoning"] = first.get("reasoning", "") + second["reasoning"]
    if second.get("tool_calls"):
        first["tool_calls"] = [*first.get("tool_calls", ()), *second["tool_calls"]]


def _as_parts(content: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    if isinstance(content, list):
        return content
    return [{"type": "text", "text": content}] if content else []
