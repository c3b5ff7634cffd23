"""A conversation at the terminal: turns, commands, tools, files, and what is not kept."""

import builtins
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from tunesmith import DataError, TunesmithError
from tunesmith.types import Piece, Request, ToolCall
from tunesmith_library_engine.chatting import Chat
from tunesmith_library_engine.conversing import ask_all, converse
from tunesmith_library_engine.rowfiles import append_row, read_row
from tunesmith_library_engine.showing import Medium, with_media
from tunesmith_library_engine.talk import Talk

TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]


class Answer(list):
    """Deltas, each a piece as it is to be read."""

    cancelled = False

    def cancel(self):
        self.cancelled = True


class Template:
    """Remembers what it was asked; a conversation of more than `room` messages does not fit."""

    def __init__(self, room):
        self.room, self.asked = room, []

    def request(self, processor, conversation, sampling, *, stop, context_length):
        if len(conversation.messages) > self.room:
            raise TunesmithError("this conversation has 9 tokens; the model's context ends at 8.\nshorten it")
        self.asked.append(
            (list(conversation.messages), conversation.tools, dict(conversation.variables), sampling, stop)
        )
        return Request([1, 2, 3], sampling)

    def read(self, processor, answers, *, stop, skip_special_tokens=True, conversation=None):
        for index, answer in enumerate(answers):
            for piece in answer:
                if piece is KeyboardInterrupt or isinstance(piece, Exception):
                    raise piece
                text = piece.text if conversation else f"<{piece.thought}>{piece.text}"
                yield Piece(
                    index, text, (1,), (), piece.finish_reason, *([piece.thought, piece.calls] if conversation else [])
                )


class Engine:
    """Gives one prepared answer after the other."""

    context_length = 8

    def __init__(self, answers):
        self.answers, self.given = list(answers), []

    def submit(self, request):
        self.given.append(Answer(self.answers.pop(0)))
        return self.given[-1]

    def close(self):
        pass


def said(text="", thought="", *calls, reason="stop"):
    return [Piece(0, text, thought=thought, calls=calls, finish_reason=reason)]


@pytest.fixture
def talk(monkeypatch, capsys):
    """Enter lines; gives what was written, what was told, and the template with what it was asked."""

    def talk(lines, *answers, interactive=True, processor=None, room=99, system=None, **how):
        template, entered = Template(room), iter(lines)
        handle = SimpleNamespace(template=template, processor=processor)

        def line(prompt=""):
            template.prompts.append(prompt)
            value = next(entered, EOFError)
            if isinstance(value, type):
                raise value
            return value

        template.prompts = []
        monkeypatch.setattr(builtins, "input", line)
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: interactive))
        template.engine = Engine(answers)
        how = {"history": None, "verbose": False, "bare_words": False, **how}
        converse(Chat(handle, lambda handle: template.engine), system=system, **how)
        out, err = capsys.readouterr()
        return out, err, template

    return talk


def user(text):
    return {"role": "user", "content": text}


def assistant(text, **more):
    return {"role": "assistant", "content": text, **more}


def test_turns_with_their_thoughts_are_asked_again(talk):
    out, err, template = talk(["one", "two"], said("1", "hm"), said("2"), system="be brief")
    assert out == "[thinking]\nhm\n[answer]\n1\n2\n\n" and err == ""
    system = {"role": "system", "content": "be brief"}
    assert template.asked[0][0] == [system, user("one")]
    assert template.asked[1][0] == [system, user("one"), assistant("1", reasoning="hm"), user("two")]


def test_a_pipe_gets_what_the_model_wrote(talk):
    out, err, template = talk(
        ["one", "", "/nothing like that", "  two ", "/help me"], *[said("1", "hm")] * 4, interactive=False
    )
    assert out == "<hm>1\n" * 4 and err == ""
    assert [asked[0][-1]["content"] for asked in template.asked] == ["one", "/nothing like that", "two", "/help me"]
    assert template.prompts == [""] * 6


def test_commands_change_what_is_asked(talk):
    lines = [
        "/system Be brief.",
        "one",
        "/retry",
        "two",
        "/undo",
        "/retry",
        "/clear",
        "three",
        "/system",
        "/clear",
        "4",
    ]
    _, err, template = talk(lines, *[said(str(n)) for n in range(6)])
    told = {"role": "system", "content": "Be brief."}
    assert [asked[0] for asked in template.asked] == [
        [told, user("one")],
        [told, user("one")],
        [told, user("one"), assistant("1"), user("two")],
        [told, user("one")],
        [told, user("three")],
        [user("4")],
    ]
    assert "taken back; 1 question is left" in err


def test_text_of_several_lines(talk):
    lines = ['"""first', "  /second", '"""', '/system """A', 'B"""', '"""/slash"""', '"""', "open"]
    _, err, template = talk(lines, said("1"), said("2"))
    assert [asked[0][-1]["content"] for asked in template.asked] == ["first\n  /second", "/slash"]
    assert template.asked[1][0][0] == {"role": "system", "content": "A\nB"}
    assert template.prompts[:3] == ["> ", ". ", ". "] and 'the text that """ began has no end' in err


def test_settings(talk):
    lines = ["/set temperature=0.5 stop=END template.enable_thinking=false", "one", "/set temperature=default", "two"]
    mistakes = [
        "/set temprature=1",
        "/set top_k=many",
        "/set top_p=7",
        "/set top_p",
        "/set template.messages=1",
        "/sett x",
        "/set",
        "/undo now",
    ]
    _, err, template = talk([*lines, *mistakes], said("1"), said("2"))
    (_, _, variables, sampling, stop), second = template.asked
    assert (variables, sampling.temperature, stop) == ({"enable_thinking": False}, 0.5, ("END",))
    assert second[3].temperature is None and second[4] == ("END",)
    for told in (
        "there is no setting temprature.",
        "did you mean temperature?",
        "top_k=many is no whole number",
        "top_p=7.0 is out of range",
        "NAME=VALUE",
        "template.messages is no variable of a template",
        "there is no command /sett.",
        "stop='END', template.enable_thinking=False; the others are the engine's",
        "/undo takes nothing behind it",
    ):
        assert told in err


@pytest.mark.parametrize(
    ("line", "stop", "variables"),
    [
        ('/set stop=["arg"]', ("arg",), {}),
        ('/set stop=["a b", "\\n"] temperature=0', ("a b", "\n"), {}),
        ("/set stop=[END]", ("[END]",), {}),
        ("/set stop='a b'", ("a b",), {}),
        ("/set stop=\\n", ("n",), {}),
        ("/set stop='[\"x\"]'", ("x",), {}),
        ("/set stop=[1]", ("[1]",), {}),
        ("/set stop=[]", (), {}),
        (
            '/set template.a={"b": ["c d", "it\'s"]} template.e=[1,2] stop=x',
            ("x",),
            {"a": {"b": ["c d", "it's"]}, "e": [1, 2]},
        ),
    ],
)
def test_settings_that_are_lists_and_mappings(talk, line, stop, variables):
    _, err, template = talk([line, "one"], said("1"))
    assert (template.asked[0][4], template.asked[0][2]) == (stop, variables), err
    refused = talk(['/set stop=["a", ""]', "one"], said("1"))
    assert "has an empty string" in refused[1] and refused[2].asked[0][4] == ()


def test_calls_of_tools_wait_for_their_results(talk, tmp_path):
    (tmp_path / "tools.json").write_text(json.dumps(TOOLS))
    calls = ToolCall(0, "add", '{"a":'), ToolCall(0, "", " 1}"), ToolCall(1, "add", "{}", "of_the_model")
    lines = [f"/tools {tmp_path}/tools.json", "go on", "/undo", "go", "seven", "/tool eight", "thanks"]
    out, err, template = talk(lines, said("", "", *calls), said("", "hm", *calls), said("15"), said("you're welcome"))
    assert '\n\n→ add({"a": 1})\n→ add({})\n15\n' in out and "tools: add" in err
    made = [
        {"type": "function", "id": "call00001", "function": {"name": "add", "arguments": {"a": 1}}},
        {"type": "function", "id": "of_the_model", "function": {"name": "add", "arguments": {}}},
    ]
    messages, tools, *_ = template.asked[2]
    assert tools == TOOLS and messages == [
        user("go"),
        assistant("", reasoning="hm", tool_calls=made),
        {"role": "tool", "name": "add", "content": "seven", "tool_call_id": "call00001"},
        {"role": "tool", "name": "add", "content": "eight", "tool_call_id": "of_the_model"},
    ]
    assert template.asked[3][0][-2:] == [assistant("15"), user("thanks")]
    assert template.prompts[4:7] == ["result of add> ", "result of add> ", "> "]


def test_what_does_not_fit_is_told_and_the_conversation_kept(talk):
    lines = ["one", "two", "three", "/undo", "/undo", "four"]
    _, err, template = talk(lines, said("1"), said("2"), said("4"), room=3)
    assert "error: this conversation has 9 tokens" in err and "/undo" in err and "/clear" in err
    assert template.asked[-1][0] == [user("one"), assistant("1"), user("four")]
    with pytest.raises(TunesmithError, match="context ends at 8"):
        talk(["one"], room=0, interactive=False)


def test_a_line_that_is_no_text_is_told_and_not_asked(talk):
    """Bytes that are not UTF-8 come as halves of surrogate pairs, or are not decoded at all."""

    class Undecoded(UnicodeDecodeError):
        def __init__(self):
            super().__init__("utf-8", b"a \xff", 2, 3, "invalid start byte")

    lines = ["one", "a \udcff\udcfe", "/system \udcff", '"""of', "\udcfe", 'several"""', Undecoded, "two 😀"]
    out, err, template = talk(lines, said("1"), said("2"))
    assert [asked[0] for asked in template.asked] == [[user("one")], [user("one"), assistant("1"), user("two 😀")]]
    assert out.startswith("1\n2\n") and err.count("error: this is no text in UTF-8") == 4
    assert r"'\udcff\udcfe'" in err and r"b'\xff'" in err and "iconv" in err
    with pytest.raises(TunesmithError, match="this is no text in UTF-8"):
        talk(["a \udcff"], interactive=False)


def test_a_fault_of_the_engine_loses_nothing(talk):
    _, err, template = talk(["one", "two", "three"], said("1"), [RuntimeError("out of memory")], said("3"))
    assert "error: RuntimeError: out of memory" in err
    assert template.asked[-1][0] == [user("one"), assistant("1"), user("three")], "the question without answer is gone"


def test_an_interrupt_stops_the_answer(talk):
    part = [Piece(0, "al"), KeyboardInterrupt]
    out, err, template = talk(["one", KeyboardInterrupt, "two", "/retry"], part, [KeyboardInterrupt], said("2"))
    assert out.startswith("al\n") and "what was said is kept" in err and "nothing was said" in err
    assert "Ctrl-D or /exit ends" in err
    assert [answer.cancelled for answer in template.engine.given] == [True, True, False]
    assert template.asked[-1][0] == [user("one"), assistant("al"), user("two")]
    with pytest.raises(KeyboardInterrupt):
        talk(["one"], [KeyboardInterrupt], interactive=False)


def test_an_answer_that_was_cut_off_says_so(talk):
    _, err, _ = talk(["one"], said("1", reason="length"), verbose=True)
    assert "cut off at its limit" in err and "prompt: 3 tokens; answer: 1 tokens in " in err and "tokens/s" in err


def test_saved_and_loaded(talk, tmp_path):
    file, tools = tmp_path / "rows.jsonl", tmp_path / "tools.json"
    file.write_text('{"messages": [{"role": "user", "content": "old"}]}')  # no line break at its end
    tools.write_text(json.dumps({"tools": TOOLS[0]["function"]}))
    _, err, _ = talk(
        ["/save x", f"/tools {tools}", "one", f"/save {file}", "two", f"/save {file}", f"/load {file} 4"],
        said("1", "hm"),
        [RuntimeError("no")],
    )
    assert "nothing to save" in err and "without the last 1, which has no answer" in err and "no row 4; it has 3" in err
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert rows[1] == rows[2] == {"messages": [user("one"), assistant("1", reasoning="hm")], "tools": TOOLS}
    _, err, template = talk([f"/load {file} 1", "/retry", f"/load {file}", "new"], said("o"), said("n"))
    assert "/retry answers its last question" in err
    assert template.asked[0][0] == [user("old")]
    assert template.asked[1][:2] == ([user("one"), assistant("1", reasoning="hm"), user("new")], TOOLS)
    file.write_text('\n{"text": "x"}\n')
    assert f"{file}:2: a row with `messages` is needed; this one has text" in talk([f"/load {file}"])[1]


def test_media_are_for_models_that_take_them(talk, tmp_path):
    picture, sound, page = tmp_path / "sea.png", tmp_path / "sea.wav", tmp_path / "sea.html"
    picture.write_bytes(b"waves")
    sound.write_bytes(b"splash")
    page.touch()
    assert "this model takes no images; it reads text alone" in talk([f"/image {picture}"])[1]
    tokens = {"image_token": "<image>", "audio_token": "<audio>"}
    senses = SimpleNamespace(image_processor=object(), feature_extractor=object(), **tokens)
    rows = tmp_path / "rows.jsonl"
    wrong = [f"/image {page}", f"/image {tmp_path}/none.png", f"/audio {picture}", f"/audio {tmp_path}"]
    lines = [*wrong, f"/video {tmp_path}/sea.mp4", f"/audio {sound}", f"/image {picture}", "what?", "and?"]
    _, err, template = talk([*lines, f"/save {rows}"], said("1"), said("2"), processor=senses)
    assert "sea.html is no image" in err and "no such file" in err and "sea.png is no sound" in err
    assert "takes no videos; it reads text, images and audios" in err and "there is a folder" in err
    row = json.loads(rows.read_text())
    assert (row["images"], row["audios"], "videos" in row) == ([str(picture)], [str(sound)], False)
    parts = [
        {"type": "audio", "audio": b"splash"},
        {"type": "image", "image": b"waves"},
        {"type": "text", "text": "what?"},
    ]
    assert template.asked[1][0] == [user(parts), assistant("1"), user("and?")]
    picture.unlink()
    assert "sea.png cannot be read" in talk([f"/load {rows}", "and?"])[1]
    with pytest.raises(TunesmithError, match="takes no images"):
        chat = Chat(SimpleNamespace(template=template, processor=None), lambda handle: pytest.fail("loaded"))
        ask_all(chat, ["what?"], system=None, media=[Medium("image", picture)], verbose=False)


def test_media_stand_at_the_marks_of_a_question():
    one, two, clip = Medium("image", Path("1.png")), Medium("image", Path("2.png")), Medium("video", Path("c.mp4"))

    def content(text, *media):
        made = with_media(text, media)
        return made if isinstance(made, str) else [part[part["type"]] for part in made]

    assert content("Is <image> in <video>?") == "Is <image> in <video>?"
    assert content("Is it?", one, clip) == ["1.png", "c.mp4", "Is it?"]
    assert content("Is <image>in<image>?", one, two) == ["Is ", "1.png", "in", "2.png", "?"]
    assert content("<image>Is it <video>", clip, one) == ["1.png", "Is it ", "c.mp4"]
    assert content("<image><image> same?", one, clip, two) == ["c.mp4", "1.png", "2.png", " same?"]
    with pytest.raises(TunesmithError, match="has 1 mark <image> and 2 images"):
        content("Is <image> it?", one, two)


def test_saved_media_are_a_row_with_their_columns(tmp_path):
    from tunesmith_library_engine.rowfiles import row_of

    media = [{"type": "image", "image": "sea.png"}, {"type": "video", "video": "sea.mp4"}]
    messages = [
        user([*media, {"type": "image", "image": "2.png"}, {"type": "text", "text": "what?"}]),
        assistant("sea"),
    ]
    row = row_of(messages)
    assert (row["images"], row["videos"]) == (["sea.png", "2.png"], ["sea.mp4"])
    assert row["messages"][0]["content"][:2] == [{"type": "image"}, {"type": "video"}]
    append_row(tmp_path / "rows.jsonl", row)
    assert read_row(tmp_path / "rows.jsonl") == (messages, None)
    append_row(tmp_path / "rows.jsonl", row | {"videos": ["1.mp4", "2.mp4"]})
    with pytest.raises(DataError, match=r"rows\.jsonl:2: the row has 2 videos, and its messages places for 1"):
        read_row(tmp_path / "rows.jsonl")


def test_results_that_are_missing_do_not_hinder_a_retry():
    talk = Talk()
    talk.ask("go")
    calls = [{"type": "function", "function": {"name": "add", "arguments": {}}}] * 2
    talk.answer("", calls=calls)
    talk.give("7")
    assert len(talk.waiting) == 1 and not talk.asked
    talk.again()
    assert talk.messages == [user("go")] and talk.asked
    talk.clear()
    with pytest.raises(TunesmithError, match="no question to answer again"):
        talk.again()


def test_colours_are_left_out_where_nobody_wants_them(talk, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert talk(["one"], said("1", "hm"))[0] == "\x1b[2mhm\x1b[0m\n\n1\n\n"
    monkeypatch.setenv("NO_COLOR", "1")
    assert talk(["one"], said("1", "hm"))[0] == "[thinking]\nhm\n[answer]\n1\n\n"


def test_a_history_file_is_written_if_asked(talk, tmp_path, monkeypatch):
    readline = pytest.importorskip("readline")
    file = tmp_path / "history"
    talk(["one"], said("1"), history=file)
    assert file.exists() and oct(file.stat().st_mode)[-3:] == "600"
    readline.clear_history()
    with pytest.raises(TunesmithError, match="cannot be written"):
        talk([], history=tmp_path / "no" / "history")
