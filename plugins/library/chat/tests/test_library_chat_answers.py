"""Answers taken apart: every format of calls, thoughts, and text, however the text is cut into pieces."""

import json
from typing import Any

import pytest
from tunesmith.types import Conversation
from tunesmith_library_chat import ChatTemplate, Thinking, calls, find_stop
from tunesmith_library_chat.answers import AnswerReader, Parts, message_of
from tunesmith_library_chat.calls import CallFormat
from tunesmith_library_chat.declarations import declared
from tunesmith_library_chat.framing import Frame, frame_of

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "add",
            "parameters": {
                "type": "object",
                "properties": {"a": {"type": "integer"}, "b": {"type": "string"}, "c": {"type": "array"}},
            },
        },
    },
    {"type": "function", "function": {"name": "now"}},
]
ADD: tuple[str, dict[str, Any]] = ("add", {"a": 1, "b": '2 <é> "q"'})
NOW: tuple[str, dict[str, Any]] = ("now", {})
ARGUMENTS = '{"a": 1, "b": "2 <é> \\"q\\""}'

# What each model writes for ADD, and for ADD and NOW, as its own template and model card have it.
WRITTEN: list[tuple[CallFormat, str, str | None]] = [
    (
        calls.HERMES,
        f'<tool_call>\n{{"name": "add", "arguments": {ARGUMENTS}}}\n</tool_call>',
        f'<tool_call>\n{{"name": "add", "arguments": {ARGUMENTS}}}\n</tool_call>\n'
        '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>',
    ),
    (calls.LLAMA, f'{{"name": "add", "parameters": {ARGUMENTS}}}', None),
    (calls.LLAMA, f'<|python_tag|>{{"name": "add", "parameters": {ARGUMENTS}}}', None),
    (calls.PYTHON, "[add(a=1, b='2 <é> \"q\"')]", "[add(a=1, b='2 <é> \"q\"'), now()]"),
    (
        calls.LLAMA_4,
        f'<|python_start|><|python_end|>{{"name": "add", "parameters": {ARGUMENTS}}}',
        f'<|python_start|><|python_end|>{{"name": "add", "parameters": {ARGUMENTS}}}'
        '{"name": "now", "parameters": {}}',
    ),
    (calls.LLAMA_4, "<|python_start|>[add(a=1, b='2 <é> \"q\"')]<|python_end|>", "[add(a=1, b='2 <é> \"q\"'), now()]"),
    (
        calls.LFM,
        "<|tool_call_start|>[add(a=1, b='2 <é> \"q\"')]<|tool_call_end|>",
        "<|tool_call_start|>[add(a=1, b='2 <é> \"q\"'), now()]<|tool_call_end|>",
    ),
    (
        calls.OLMO,
        "<function_calls>add(a=1, b='2 <é> \"q\"')</function_calls>",
        "<function_calls>add(a=1, b='2 <é> \"q\"')\nnow()</function_calls>",
    ),
    (
        calls.MISTRAL,
        f'[TOOL_CALLS] [{{"name": "add", "arguments": {ARGUMENTS}, "id": "abc123def"}}]',
        f'[TOOL_CALLS] [{{"name": "add", "arguments": {ARGUMENTS}, "id": "abc123def"}}, '
        '{"name": "now", "arguments": {}, "id": "abc123deg"}]',
    ),
    (
        calls.MISTRAL_NAMED,
        f"[TOOL_CALLS]add[CALL_ID]abc123def[ARGS]{ARGUMENTS}",
        f"[TOOL_CALLS]add[CALL_ID]abc123def[ARGS]{ARGUMENTS}[TOOL_CALLS]now[CALL_ID]abc123deg[ARGS]{{}}",
    ),
    (calls.GLM4, f"add\n{ARGUMENTS}", None),
    (
        calls.GLM,
        "<tool_call>add\n<arg_key>a</arg_key>\n<arg_value>1</arg_value>\n<arg_key>b</arg_key>\n"
        '<arg_value>2 <é> "q"</arg_value>\n</tool_call>',
        "<tool_call>add<arg_key>a</arg_key><arg_value>1</arg_value><arg_key>b</arg_key>"
        '<arg_value>2 <é> "q"</arg_value></tool_call><tool_call>now</tool_call>',
    ),
    (
        calls.QWEN_XML,
        "<tool_call>\n<function=add>\n<parameter=a>\n1\n</parameter>\n<parameter=b>\n"
        '2 <é> "q"\n</parameter>\n</function>\n</tool_call>',
        "<tool_call>\n<function=add>\n<parameter=a>\n1\n</parameter>\n<parameter=b>\n"
        '2 <é> "q"\n</parameter>\n</function>\n</tool_call>\n'
        "<tool_call>\n<function=now>\n</function>\n</tool_call>",
    ),
    (
        calls.SEED,
        '<seed:tool_call>\n<function=add>\n<parameter=a>1</parameter>\n<parameter=b>2 <é> "q"</parameter>\n'
        "</function>\n</seed:tool_call>",
        None,
    ),
    (
        calls.MINIMAX,
        '<minimax:tool_call>\n<invoke name="add">\n<parameter name="a">1</parameter>\n'
        '<parameter name="b">2 <é> "q"</parameter>\n</invoke>\n</minimax:tool_call>',
        '<minimax:tool_call>\n<invoke name="add">\n<parameter name="a">1</parameter>\n'
        '<parameter name="b">2 <é> "q"</parameter>\n</invoke>\n<invoke name="now">\n</invoke>\n</minimax:tool_call>',
    ),
    (
        calls.MINIMAX_1,
        f'<tool_calls>\n{{"name": "add", "arguments": {ARGUMENTS}}}\n</tool_calls>',
        f'<tool_calls>\n{{"name": "add", "arguments": {ARGUMENTS}}}\n'
        '{"name": "now", "arguments": {}}\n</tool_calls>',
    ),
    (
        calls.DEEPSEEK_3,
        f"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>add\n```json\n{ARGUMENTS}\n```"
        "<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
        f"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>add\n```json\n{ARGUMENTS}\n```"
        "<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>now\n```json\n{}\n```<｜tool▁call▁end｜>"
        "<｜tool▁calls▁end｜>",
    ),
    (
        calls.DEEPSEEK_3_1,
        f"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>add<｜tool▁sep｜>{ARGUMENTS}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
        f"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>add<｜tool▁sep｜>{ARGUMENTS}<｜tool▁call▁end｜>"
        "<｜tool▁call▁begin｜>now<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
    ),
    (
        calls.DEEPSEEK_3_2,
        '<｜DSML｜function_calls>\n<｜DSML｜invoke name="add">\n<｜DSML｜parameter name="a" string="false">1'
        '</｜DSML｜parameter>\n<｜DSML｜parameter name="b" string="true">2 <é> "q"</｜DSML｜parameter>\n'
        "</｜DSML｜invoke>\n</｜DSML｜function_calls>",
        None,
    ),
    (
        calls.KIMI,
        "<|tool_calls_section_begin|><|tool_call_begin|>functions.add:0<|tool_call_argument_begin|>"
        f"{ARGUMENTS}<|tool_call_end|><|tool_calls_section_end|>",
        "<|tool_calls_section_begin|><|tool_call_begin|>functions.add:0<|tool_call_argument_begin|>"
        f"{ARGUMENTS}<|tool_call_end|><|tool_call_begin|>functions.now:1<|tool_call_argument_begin|>{{}}"
        "<|tool_call_end|><|tool_calls_section_end|>",
    ),
    (calls.HARMONY, f"<|channel|>commentary to=functions.add <|constrain|>json<|message|>{ARGUMENTS}", None),
    (calls.HARMONY, f" to=functions.add<|channel|>commentary json<|message|>{ARGUMENTS}", None),
    (
        calls.COMMAND,
        f'<|START_ACTION|>[\n    {{"tool_call_id": "0", "tool_name": "add", "parameters": {ARGUMENTS}}}\n]'
        "<|END_ACTION|>",
        f'<|START_ACTION|>[\n    {{"tool_call_id": "0", "tool_name": "add", "parameters": {ARGUMENTS}}},\n'
        '    {"tool_call_id": "1", "tool_name": "now", "parameters": {}}\n]<|END_ACTION|>',
    ),
    (
        calls.COMMAND_R,
        f'Action: ```json\n[\n    {{\n        "tool_name": "add",\n        "parameters": {ARGUMENTS}\n    }}\n]\n```',
        None,
    ),
    (calls.GRANITE, f'<|tool_call|>[{{"name": "add", "arguments": {ARGUMENTS}}}]', None),
    (calls.PHI, f'<|tool_call|>[{{"name": "add", "arguments": {ARGUMENTS}}}]<|/tool_call|>', None),
    (
        calls.INTERNLM,
        f'<|action_start|><|plugin|>\n{{"name": "add", "parameters": {ARGUMENTS}}}<|action_end|>',
        None,
    ),
    (calls.NEMOTRON, f'<TOOLCALL>[{{"name": "add", "arguments": {ARGUMENTS}}}]</TOOLCALL>', None),
    (
        calls.HUNYUAN,
        f"<tool_calls><tool_call>function<tool_sep>add\n```json\n{ARGUMENTS}\n```</tool_call></tool_calls>",
        f"<tool_calls><tool_call>function<tool_sep>add\n```json\n{ARGUMENTS}\n```</tool_call>\n"
        "<tool_call>function<tool_sep>now\n```json\n{}\n```</tool_call></tool_calls>",
    ),
    (
        calls.GEMMA,
        '<|tool_call>call:add{a:1,b:<|"|>2 <é> "q"<|"|>}<tool_call|>',
        '<|tool_call>call:add{a:1,b:<|"|>2 <é> "q"<|"|>}<tool_call|><|tool_call>call:now{}<tool_call|>',
    ),
    (
        calls.FUNCTION_GEMMA,
        '<start_function_call>call:add{a:1,b:<escape>2 <é> "q"<escape>}<end_function_call>',
        None,
    ),
    (
        calls.REACT,
        f"Action: add\nAction Input: {ARGUMENTS}",
        f"Action: add\nAction Input: {ARGUMENTS}\nAction: now\nAction Input: {{}}",
    ),
]
_IDS = [f"{format.name}-{number}" for number, (format, _, _) in enumerate(WRITTEN)]


def read(text: str, format: CallFormat | None, pieces: list[str] | None = None, **how: Any) -> dict[str, Any]:
    """An answer as a message, with what its pieces are when they are joined."""
    tools = declared(how.pop("tools", TOOLS))
    reader, parts = AnswerReader(format, how.pop("thinking", Thinking()), tools, **how), Parts()
    for piece in [text] if pieces is None else pieces:
        parts += reader.push(piece)
    return message_of(parts + reader.finish())


def called(message: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    functions = [call["function"] for call in message.get("tool_calls", [])]
    return [(function["name"], json.loads(function["arguments"])) for function in functions]


@pytest.mark.parametrize(("format", "one", "two"), WRITTEN, ids=_IDS)
def test_calls(format: CallFormat, one: str, two: str | None) -> None:
    message = read(one, format)
    assert called(message) == [ADD] and message["content"] == "" and "reasoning" not in message
    if two is not None:
        assert called(read(two, format)) == [ADD, NOW]


@pytest.mark.parametrize(("format", "one", "two"), WRITTEN, ids=_IDS)
def test_every_cut_gives_the_same(format: CallFormat, one: str, two: str | None) -> None:
    """In two pieces, cut anywhere, and in single characters; with a thought before and, where it may be, text."""
    said = "" if format.begins else "Well,  see.\n\n"
    text = f"<think>\nHm < 1.\n\n</think>\n\n{said}{two or one}"
    whole = read(text, format)
    assert whole["reasoning"] == "Hm < 1." and whole["content"] == said.rstrip()
    assert called(whole) == ([ADD, NOW] if two else [ADD])
    for cut in range(len(text) + 1):
        assert read(text, format, [text[:cut], text[cut:]]) == whole, f"cut at {cut}: {text[:cut]!r}"
    assert read(text, format, list(text)) == whole


def test_ids() -> None:
    written = {format.name: one for format, one, _ in WRITTEN if format.name != "llama"}
    for name, id in {
        "mistral": "abc123def",
        "mistral_named": "abc123def",
        "kimi": "functions.add:0",
        "command": "0",
    }.items():
        format = next(format for format, _, _ in WRITTEN if format.name == name)
        assert read(written[name], format)["tool_calls"][0]["id"] == id
    assert "id" not in read(written["hermes"], calls.HERMES)["tool_calls"][0]


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("Just text.\n", "Just text.\n"),
        ("a < b and <tool_cal", "a < b and <tool_cal"),
        ('<tool_call>\n{"name": "add", "argum', '<tool_call>\n{"name": "add", "argum'),
        ("<tool_call>not a call</tool_call> and more", "<tool_call>not a call</tool_call> and more"),
        ("I use <think> to think.", "I use <think> to think."),
        ("  two spaces", "two spaces"),
    ],
)
def test_text_that_only_looks_like_something_else(text: str, content: str) -> None:
    """It comes out as text, whole, whatever the pieces."""
    for pieces in ([text], list(text)):
        assert read(text, calls.HERMES, pieces) == {"role": "assistant", "content": content}


def test_a_call_behind_a_broken_one_and_text_around() -> None:
    good = '<tool_call>{"name": "now", "arguments": {}}</tool_call>'
    text = f"First.\n{good}\nThen.\n{good} Last."
    for pieces in ([text], list(text)):
        message = read(text, calls.HERMES, pieces)
        assert called(message) == [NOW, NOW] and message["content"] == "First.\n\nThen.\n Last."
    broken = f"<tool_call>oops\n{good}"
    assert called(read(broken, calls.HERMES)) == [NOW]


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("One,\n\n{call} two.", "One,\n\n two."),  # the answer without its calls, as it stands
        ("One {call}{call}two.", "One two."),
        ("One.{call}\n{call}\n Two.\n", "One.\n\n Two.\n"),
        ("One.{call}Two.", "One.\nTwo."),  # words are never joined
        ("\n {call}\n\n{call} \n", ""),  # white space at the edges goes
        ("{call}\n\nOne.", "One."),
        ("Like so:  <tool_call> is a tag,\n<tool_call>\n\n", "Like so:  <tool_call> is a tag,\n<tool_call>\n\n"),
        ("Like so: <tool_call> is.\n{call}", "Like so: <tool_call> is."),
        ("{call} <tool_call> is a tag.", "<tool_call> is a tag."),
    ],
)
def test_text_beside_calls_is_kept_as_it_stands(text: str, content: str) -> None:
    text = text.format(call='<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>')
    for pieces in ([text], list(text)):
        message = read(text, calls.HERMES, pieces)
        assert message["content"] == content
        assert called(message) == [NOW] * text.count("arguments")


def test_thoughts_that_calls_part_are_not_joined() -> None:
    text = '<think>First.</think><tool_call>{"name": "now", "arguments": {}}</tool_call><think>Then.</think>Yes.'
    for pieces in ([text], list(text)):
        message = read(text, calls.HERMES, pieces)
        assert (message["reasoning"], message["content"], called(message)) == ("First.\nThen.", "Yes.", [NOW])


_FRAME = Frame(("<response>\n", "<response>"), "\n</response>\n")


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("<response>\nYes.\n</response>\n", "Yes."),
        ("<response>Yes.</response>", "Yes."),
        ("Yes.", "Yes."),
        ("Yes.\n", "Yes.\n"),
        ("<respond> to it", "<respond> to it"),
        ("A <response> and a </response> in it", "A <response> and a </response> in it"),
        ("<response>\nA </response> in it\n</resp", "A </response> in it\n</resp"),
        ("<response>\nYes.\n</response>\n<tool_call>{call}</tool_call>", "Yes."),
        ("</think>\n\nYes.", "Yes."),
        ("<response></think> is a mark", "</think> is a mark"),
        ("Well.<tool_call>{call}</tool_call><response>\n Yes.", "Well. Yes."),
        ("<think>\n\n</think>\n<response>\nYes.\n</response>", "Yes."),
    ],
)
def test_what_stands_around_every_answer_is_no_text(text: str, content: str) -> None:
    text = text.format(call='{"name": "now", "arguments": {}}') if "{call}" in text else text
    for pieces in ([text], list(text)):
        message = read(text, calls.HERMES, pieces, frame=_FRAME)
        assert message["content"] == content and "reasoning" not in message
        assert called(message) == ([NOW] if "tool_call" in text else [])


def test_white_space_that_a_template_writes_behind_answers() -> None:
    for text, content in {"Yes.\n": "Yes.", "Yes.\n\n": "Yes.\n", "Yes.": "Yes.", " \n": ""}.items():
        for pieces in ([text], list(text)):
            assert read(text, None, pieces, frame=Frame(tail="\n"))["content"] == content


def test_frames_are_read_off_what_a_template_writes() -> None:
    jinja = (
        "{% for m in messages %}[{{ m.role }}]{% if m.role == 'assistant' %}"
        "{{ '<think>' ~ (m.reasoning or '') ~ '</think>\n<answer>' ~ m.content ~ '</answer>\n!' }}"
        "{% else %}{{ m.content }}{% endif %}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    template = ChatTemplate("mine", jinja, ("!",), thinking=Thinking())
    assert frame_of(jinja, {}, Thinking(), ("!",)) == Frame(("<answer>",), "</answer>\n")
    asked = Conversation([{"role": "user", "content": "So?"}])
    for said in ("Yes.", "<answer>", "a </answer> b"):
        message = template.parse(f"<think>Hm.</think>\n<answer>{said}</answer>\n", asked)
        assert (message["reasoning"], message["content"]) == ("Hm.", said)
    # words that an answer may begin with are none, but where they stand as the template writes them
    worded = jinja.replace("<answer>", "all\n").replace("</answer>", "")
    assert frame_of(worded, {}, Thinking(), ("!",)) == Frame(("all\n",), "\n")
    assert find_stop(jinja, {}) == "</answer>" and find_stop(worded, {}) == "!"


def test_a_closing_mark_inside_an_argument() -> None:
    arguments = {"b": "</tool_call> and </think>"}
    text = f"<tool_call>\n{json.dumps({'name': 'add', 'arguments': arguments})}\n</tool_call>"
    for pieces in ([text], list(text)):
        assert called(read(text, calls.HERMES, pieces)) == [("add", arguments)]
    for value in ("a</parameter> b", "</function>", "a\n</function>\n</tool_call>\nb", "<parameter=a>"):
        text = f"<function=add>\n<parameter=b>\n{value}\n</parameter>\n<parameter=a>\n1\n</parameter>\n</function>"
        text = f"<tool_call>\n{text}\n</tool_call>\n<tool_call>\n<function=now>\n</function>\n</tool_call>"
        for pieces in ([text], list(text)):
            assert called(read(text, calls.QWEN_XML, pieces)) == [("add", {"b": value, "a": 1}), NOW]


def test_white_space_of_an_argument() -> None:
    """What a template writes around values is taken off, and no more."""
    value = "\n x \n\n"
    qwen = f"<tool_call>\n<function=add>\n<parameter=b>\n{value}\n</parameter>\n</function>\n</tool_call>"
    minimax = f'<minimax:tool_call>\n<invoke name="add">\n<parameter name="b">{value}</parameter>\n</invoke>'
    seed = f"<seed:tool_call>\n<function=add>\n<parameter=b>{value}</parameter>\n</function>\n</seed:tool_call>"
    glm = f"<tool_call>add\n<arg_key>b</arg_key>\n<arg_value>{value}</arg_value>\n</tool_call>"
    for text, format in ((qwen, calls.QWEN_XML), (minimax, calls.MINIMAX), (seed, calls.SEED), (glm, calls.GLM)):
        assert called(read(text, format)) == [("add", {"b": value})]


def test_values_without_quotes_have_their_declared_type() -> None:
    """`42` is a number, unless the tool says that it is a string; what the tool does not declare is read as JSON."""
    text = (
        "<tool_call>\n<function=add>\n<parameter=b>\n42\n</parameter>\n<parameter=a>\n42\n</parameter>\n"
        '<parameter=c>\n[1, "x"]\n</parameter>\n<parameter=d>\ntrue\n</parameter>\n</function>\n</tool_call>'
    )
    assert called(read(text, calls.QWEN_XML)) == [("add", {"b": "42", "a": 42, "c": [1, "x"], "d": True})]


def test_a_thought_that_the_prompt_began() -> None:
    for pieces in (["Hm.\n</think>\n\nYes."], list("Hm.\n</think>\n\nYes.")):
        message = read("", calls.HERMES, pieces, thought=True)
        assert (message["reasoning"], message["content"]) == ("Hm.", "Yes.")
    assert read("Hm, unfinished", None, thought=True)["reasoning"] == "Hm, unfinished"
    assert Thinking().begun("<|im_start|>assistant\n<think>\n") and not Thinking().begun("<think>\n\n</think>\n\n")


def test_harmony() -> None:
    """GPT-OSS thinks, speaks and calls in channels."""
    thinking = Thinking("<|channel|>analysis<|message|>", "<|end|>")
    text = "<|channel|>analysis<|message|>Easy.<|end|><|start|>assistant<|channel|>final<|message|>Four."
    for pieces in ([text], list(text)):
        message = read(text, calls.HARMONY, pieces, thinking=thinking)
        assert (message["reasoning"], message["content"]) == ("Easy.", "Four.")
    call = (
        "<|channel|>analysis<|message|>I add.<|end|><|start|>assistant to=functions.add<|channel|>commentary json"
        f"<|message|>{ARGUMENTS}"
    )
    for pieces in ([call], list(call)):
        message = read(call, calls.HARMONY, pieces, thinking=thinking)
        assert (message["reasoning"], message["content"], called(message)) == ("I add.", "", [ADD])


def test_deep_and_wild_values() -> None:
    """Nested values, empty ones, and text with every kind of quote."""
    wild = {"x": {"y": [1, {"z": None}], "q": 'it\'s "so"\n`{}`'}, "empty": {}, "list": [], "f": 1.5, "t": True}
    text = f'[{{"name": "add", "parameters": {json.dumps(wild)}}}]'
    assert called(read(f"<|START_ACTION|>{text}<|END_ACTION|>", calls.COMMAND)) == [("add", wild)]
    python = f"[add(**{{}}, x={wild!r})]"
    assert called(read(python, calls.PYTHON)) == [], "keywords that are no names are no call"
    assert called(read(f"[add(x={wild!r})]", calls.PYTHON)) == [("add", {"x": wild})]
    gemma = '<|tool_call>call:add{x:{y:[1,{z:null}],q:<|"|>a}b<|"|>},empty:{},list:[],f:1.5,t:true}<tool_call|>'
    expected = {"x": {"y": [1, {"z": None}], "q": "a}b"}, "empty": {}, "list": [], "f": 1.5, "t": True}
    assert called(read(gemma, calls.GEMMA)) == [("add", expected)]


@pytest.mark.parametrize(
    ("format", "text"),
    [
        (calls.LLAMA, '{"name": "Max", "age": 3}'),
        (calls.LLAMA, '{"name": "Max", "parameters": {"a": 1}}'),
        (calls.LLAMA, '{"name": "add", "age": 3}'),
        (calls.LLAMA_4, '{"name": "Max", "age": 3}'),
        (calls.LLAMA_4, '[person(name="Max")]'),
        (calls.LLAMA_4, "[1, 2]"),
        (calls.PYTHON, '[person(name="Max")]'),
        (calls.GLM4, 'config\n{"json": 1}'),
        (calls.HERMES, '<tool_call>\n{"name": "Max", "age": 3}\n</tool_call>'),
        (calls.MISTRAL, '[TOOL_CALLS] [{"name": "Max", "age": 3}]'),
        (calls.GLM, "<tool_call>is a mark of mine</tool_call>"),
    ],
)
@pytest.mark.parametrize("tools", [TOOLS, []], ids=["tools", "no tools"])
def test_what_is_no_call_of_a_tool_stays_text(format: CallFormat, text: str, tools: list[Any]) -> None:
    for pieces in ([text], list(text)):
        assert read(text, format, pieces, tools=tools) == {"role": "assistant", "content": text}


@pytest.mark.parametrize(("format", "one", "two"), WRITTEN, ids=_IDS)
def test_calls_without_a_mark_need_declared_tools(format: CallFormat, one: str, two: str | None) -> None:
    """Such an answer is text, whole and at once, where the conversation has no tools."""
    message = read(one, format, tools=[])
    if one.startswith(format.open or ("\0",)) or format.skips or not format.begins:
        return
    assert message == {"role": "assistant", "content": one}
    assert AnswerReader(format, None).push(one).text == one


@pytest.mark.parametrize(("format", "one", "two"), WRITTEN, ids=_IDS)
def test_text_behind_calls_and_calls_cut_off(format: CallFormat, one: str, two: str | None) -> None:
    """No complete call is lost by what comes behind it, and nothing of that either."""
    behind = f"{one}\nAnd text, [1] (so)."
    for pieces in ([behind], list(behind)):
        message = read(behind, format, pieces)
        assert called(message) == [ADD] and message["content"] == "And text, [1] (so).", message
    whole = two or one
    for end in range(len(whole)):
        cut = whole[:end]
        message = read(cut, format)
        assert message == read(cut, format, list(cut))
        got, content = called(message), message["content"]
        assert got in ([], [ADD], [ADD, NOW]), cut
        assert got or (cut.endswith(content) if format.skips else content == cut.lstrip()), cut
        assert got or not two or end < whole.rindex("now"), cut


def test_python_calls_with_names_that_are_none_in_python() -> None:
    given = {"from": "a, in=1", "in": ["x", {"as": 1}], "max-n": 2, "two words": 1, "b": "is='3'"}
    text = f"[add({', '.join(f'{key}={value!r}' for key, value in given.items())}), now()]"
    assert called(read(text, calls.PYTHON)) == [("add", given), NOW]
    assert called(read("[get-now(a=1), import()]", calls.LFM)) == []
    dashed = "<|tool_call_start|>[get-now(a=1), import()]<|tool_call_end|>"
    assert called(read(dashed, calls.LFM)) == [("get-now", {"a": 1}), ("import", {})]


def test_values_written_as_python_writes_them() -> None:
    """Seed-OSS's template writes objects and lists so."""
    value = {"unit": "C", "deep": [None, True, {"x": 1.5}], "it's": ()}
    text = (
        f"<seed:tool_call>\n<function=add>\n<parameter=c>{value!r}</parameter>\n<parameter=b>{{'x': 1}}</parameter>\n"
        "<parameter=d>{1, 2}</parameter>\n<parameter=e>[x for x in y]</parameter>\n</function>\n</seed:tool_call>"
    )
    right = {"unit": "C", "deep": [None, True, {"x": 1.5}], "it's": []}
    expected = {"c": right, "b": "{'x': 1}", "d": "{1, 2}", "e": "[x for x in y]"}
    assert called(read(text, calls.SEED)) == [("add", expected)]


def test_half_a_character_in_a_call_can_still_be_sent() -> None:
    said = '<tool_call>\n{"name": "a\\ud83d", "arguments": {"x": "\\ud83d", "y": "ü"}}\n</tool_call>'
    (call,) = AnswerReader(calls.HERMES, None).push(said).calls
    assert call.arguments.encode() == rb'{"x": "\ud83d", "y": "\u00fc"}' and call.name == "a?"
