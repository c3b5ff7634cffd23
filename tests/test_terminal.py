"""`tunesmith chat` at a terminal: a real template, an engine that says what it is told to."""

import contextlib
import json
import os
import select
import sys
import time
from pathlib import Path

import pytest
from tunesmith_format_openai import OpenAI

pty = pytest.importorskip("pty")
pytestmark = pytest.mark.slow

ENGINE = """
import threading
import time

from tunesmith import hookimpl, plugin
from tunesmith.types import Delta
from tunesmith_library_engine import StreamedAnswer

CALL = '<tool_call>\\n{"name": "add", "arguments": {"a": 1}}\\n</tool_call>'
SAYS = ["<think>\\nI look up.\\n</think>\\n\\nIt is blue.", CALL, "It is 3.", "slow " * 400]


@plugin
class Scripted:
    @hookimpl
    def open_engine(self, handle):
        return Engine(handle.processor)


class Engine:
    context_length, adapters, end_token_ids = None, (), frozenset()

    def __init__(self, tokenizer):
        self.tokenizer, self.says = tokenizer, iter(SAYS)

    def submit(self, request):
        with open("prompts.txt", "a") as prompts:
            prompts.write(repr(self.tokenizer.decode(request.prompt)) + "\\n")
        answer, text = StreamedAnswer(), next(self.says)
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]

        def give():
            for token in ids:
                time.sleep(0.05 if "slow" in text else 0)
                answer.put(Delta((token,)))
            answer.put(Delta((), (), "length"))

        threading.Thread(target=give, daemon=True).start()
        return answer

    def close(self):
        pass
"""
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
STEPS = [
    ("What colour?\n", "> "),
    ("/tools tools.json\n", "tools: add"),
    ("add\n", "result of add> "),
    ("3\n", "> "),
    ("/save row.jsonl\n", "saved: row.jsonl (6 messages)"),
    ("long\n", "slow slow"),
    ("\x03", "/retry asks again"),
    ("/hel\t\n", "begins with a slash"),  # completed
    ("/undo\n", "taken back"),
]


def converse(words: list[str], steps: list[tuple[str, str]], folder: Path) -> tuple[str, int]:
    """Enter texts at a terminal, each when what it waits for has come; what was shown, and the exit code."""
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(folder)
        os.execve(words[0], words, {**os.environ, "TERM": "xterm", "NO_COLOR": ""})
    shown = b""

    def until(mark: str) -> None:
        nonlocal shown
        start, end = len(shown), time.monotonic() + 60
        while mark.encode() not in shown[start:]:
            assert time.monotonic() < end, f"{mark!r} did not come: {shown[start:].decode()}"
            if select.select([terminal], [], [], 0.2)[0]:
                shown += os.read(terminal, 65536)

    until("> ")
    for text, mark in steps:
        os.write(terminal, text.encode())
        until(mark)
    end = time.monotonic() + 60
    while not (ended := os.waitpid(process, os.WNOHANG))[0]:  # a terminal that changes its mode may lose the key
        assert time.monotonic() < end, "it does not end"
        with contextlib.suppress(OSError):
            os.write(terminal, b"\x04")
        time.sleep(0.2)
    return shown.decode(), os.waitstatus_to_exitcode(ended[1])


def test_a_conversation(tiny_llama: Path, tmp_path: Path) -> None:
    (tmp_path / "scripted.py").write_text(ENGINE)
    (tmp_path / "tools.json").write_text(json.dumps([TOOL]))
    model = [f"model.path={tiny_llama}", "template=qwen3", "engine=scripted.py:Scripted"]
    words = [sys.executable, "-m", "tunesmith", "chat", *model, "--verbose", "--history", "history"]
    shown, code = converse(words, STEPS, tmp_path)
    assert code == 0, shown
    assert "\x1b[2m" in shown and "\r\nIt is blue.\r\n" in shown and '→ add({"a": 1})\r\n' in shown
    assert "cut off at its limit" in shown and "tokens/s" in shown and "/retry" in shown
    row = json.loads((tmp_path / "row.jsonl").read_text())
    assert row["messages"][1] == {"role": "assistant", "content": "It is blue.", "reasoning": "I look up."}
    (read,) = OpenAI().to_rows([row], {})
    assert read == row, "a row to train on, as it stands"
    third = (tmp_path / "prompts.txt").read_text().splitlines()[2]
    assert "<tool_response>\\n3\\n</tool_response>" in third and "I look up." not in third, "as qwen3 writes it"
    assert "What colour?\n" in (tmp_path / "history").read_text()
