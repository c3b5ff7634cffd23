"""The folder for Ollama: the Modelfile, Go templates that write what was trained, and an Ollama that is asked."""

import http.server
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tunesmith import TunesmithError
from tunesmith_exporter_ollama import Ollama, exporting
from tunesmith_exporter_ollama.families import FAMILIES, family_of
from tunesmith_exporter_ollama.limits import parameter_problems, plain_name
from tunesmith_exporter_ollama.modelfile import modelfile
from tunesmith_exporter_ollama.program import Program, Told, running
from tunesmith_library_chat import ChatTemplate
from tunesmith_library_testing import ExporterSuite
from tunesmith_library_testing.parts import CHATML, StubPlan, handle_of

SYSTEM = {"role": "system", "content": "Be brief."}
TURNS = [
    {"role": "user", "content": "Who counts?"},
    {"role": "assistant", "content": "Nobody."},
    {"role": "user", "content": "Why?"},
]


class TestOllama(ExporterSuite):
    plugin = Ollama
    options: ClassVar[dict[str, Any]] = {"verify": False}
    for_transformers: ClassVar[bool] = False


# ---- templates in Go -----------------------------------------------------------------------------------------------


def go(template: str, messages: list[dict[str, str]]) -> str:
    """What Go's text/template makes of a template, of the words that ours have: range, if, else if, end."""
    parts = re.split(r"\{\{ (.*?) \}\}", template)
    tree, _ = _block(list(zip(["text", "action"] * len(parts), parts, strict=False)), 0)
    system = "\n\n".join(message["content"] for message in messages if message["role"] == "system")
    return _run(tree, {"$.Messages": messages, "$.System": system})


def _block(parts: list[tuple[str, str]], at: int) -> tuple[list[Any], int]:
    """Text, and actions with what is in them, up to the end or an else."""
    found: list[Any] = []
    while at < len(parts) and not (parts[at][0] == "action" and parts[at][1].split()[0] in ("end", "else")):
        kind, said = parts[at]
        at += 1
        if kind == "action" and said.split()[0] in ("range", "if"):
            branches = []
            while True:
                inner, at = _block(parts, at)
                branches.append((said, inner))
                said = parts[at][1]
                at += 1
                if said == "end":
                    break
                said = said.removeprefix("else ")
            found.append(branches)
        else:
            found.append((kind, said))
    return found, at


def _run(tree: list[Any], names: dict[str, Any]) -> str:
    found = ""
    for node in tree:
        if isinstance(node, list) and node[0][0].startswith("range"):
            for index, message in enumerate(names["$.Messages"]):
                inner = {"$index": index, ".Role": message["role"], ".Content": message["content"]}
                found += _run(node[0][1], {**names, **inner})
        elif isinstance(node, list):
            found += next((_run(inner, names) for said, inner in node if _value(said[3:], names)), "")
        elif node[0] == "text":
            found += node[1]
        elif ":=" in node[1]:
            name, _, value = node[1].partition(" := ")
            names[name] = _value(value, names)
        else:
            found += str(_value(node[1], names))
    return found


def _value(said: str, names: dict[str, Any]) -> Any:
    words = re.findall(r"\(|\)|\"[^\"]*\"|[^\s()]+", said)
    calls: dict[str, Any] = {
        "eq": lambda a, b: a == b,
        "ne": lambda a, b: a != b,
        "and": lambda a, b: a and b,
        "not": lambda a: not a,
        "len": len,
        "slice": lambda a, start: a[start:],
    }

    def read(at: int) -> tuple[Any, int]:
        if words[at] == "(":
            value, at = read_call(at + 1)
            return value, at + 1
        word = words[at]
        plain = word[1:-1] if word.startswith('"') else int(word) if word.isdigit() else names.get(word)
        return plain, at + 1

    def read_call(at: int) -> tuple[Any, int]:
        if words[at] not in calls:
            return read(at)
        call, values, at = calls[words[at]], [], at + 1
        while at < len(words) and words[at] != ")":
            value, at = read(at)
            values.append(value)
        return call(*values), at

    return read_call(0)[0]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_the_template_in_go_writes_what_it_is_told_by(family: Any) -> None:
    for turns in (TURNS[:1], TURNS, [SYSTEM, *TURNS[:1]], [SYSTEM, *TURNS]):
        assert go(family.go(beginning=True), turns) == family.prompt(turns)
    written = go(family.go(beginning=False), TURNS)
    assert family.beginning + written == family.prompt(TURNS)


def test_a_conversation_of_chatml() -> None:
    (chatml,) = (family for family in FAMILIES if family.name == "chatml")
    assert go(chatml.go(beginning=True), [SYSTEM, *TURNS[:1]]) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWho counts?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_the_family_of_a_template(tiny_bpe: Any) -> None:
    found = family_of(CHATML.bind(tiny_bpe))
    assert (found.family.name, found.system) == ("chatml", None)
    introduced = "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nBe the sea.<|im_end|>\n{% endif %}"
    found = family_of(ChatTemplate("sea", introduced + CHATML.jinja, CHATML.stop).bind(tiny_bpe))
    assert (found.family.name, found.system) == ("chatml", "Be the sea.")
    with pytest.raises(TunesmithError, match=r"(?s)template=waves does.*chatml.*template=gguf"):
        family_of(ChatTemplate("waves", CHATML.jinja.replace("im_start", "im_begin"), ()).bind(tiny_bpe))


# ---- the Modelfile -------------------------------------------------------------------------------------------------


def test_a_modelfile() -> None:
    text = modelfile(
        "sea-Q8_0.gguf",
        system='Say "hi".\nTwice.',
        builtin={"RENDERER": "qwen3-coder"},
        stop=("<|im_end|>", 'a "b"\nc'),
        parameters={"num_ctx": 4096, "temperature": 0.7},
    )
    assert text == (
        'FROM ./sea-Q8_0.gguf\nRENDERER qwen3-coder\nSYSTEM """Say "hi".\nTwice."""\nPARAMETER num_ctx 4096\n'
        'PARAMETER temperature 0.7\nPARAMETER stop "<|im_end|>"\nPARAMETER stop """a "b"\nc"""\n'
    )
    with pytest.raises(TunesmithError, match="the system text holds"):
        modelfile("x.gguf", system='"""')


def test_a_folder(tiny_llama: Path, tiny_bpe: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    exporter = Ollama(type="f16", template="go", system="Be brief.", parameters={"num_ctx": 512.0}, verify=False)
    with caplog.at_level("INFO", "tunesmith"):
        handle = handle_of(tiny_llama, tiny_bpe, template=CHATML.bind(tiny_bpe))
        out = exporter.export(handle, tmp_path / "Sea-ollama")
    assert sorted(file.name for file in out.iterdir()) == ["Modelfile", "Sea-F16.gguf"]
    text = (out / "Modelfile").read_text()
    assert text.startswith("FROM ./Sea-F16.gguf\nTEMPLATE ") and 'SYSTEM """Be brief."""' in text
    assert "PARAMETER num_ctx 512\n" in text and 'PARAMETER stop "<|im_end|>"' in text
    assert f"ollama create sea -f {out / 'Modelfile'}" in caplog.text


def test_a_file_that_is_there_already_is_taken(
    tiny_llama: Path, tiny_bpe: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As exporter=[gguf,ollama] makes them: one file under two names."""
    from tunesmith_library_gguf.exporting import Wanted, export_gguf

    handle = handle_of(tiny_llama, tiny_bpe, template=CHATML.bind(tiny_bpe))
    with handle.shared, caplog.at_level("INFO", "tunesmith"):
        export_gguf(handle, tmp_path / "sea" / "gguf", Wanted(("f16", "q8_0"), verify=False))
        out = Ollama(type="q8_0", verify=False).export(handle, tmp_path / "sea" / "ollama")
        assert (out / "sea-Q8_0.gguf").samefile(tmp_path / "sea" / "gguf" / "sea-Q8_0.gguf")
        assert "which another exporter of this command has made" in caplog.text
        other = Ollama(type="q8_0", pre_tokenizer="gpt-2", verify=False).export(handle, tmp_path / "other")
        assert not (other / "other-Q8_0.gguf").samefile(out / "sea-Q8_0.gguf")
    assert "ollama create sea -f" in caplog.text


PARAMETERS = "exporter.ollama.parameters"


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        ({}, []),
        ({"parameters": {"temprature": 1.0}}, ["exporter.ollama.parameters.temprature"]),
        ({"type": "q4_km"}, ["exporter.ollama.type"]),
        (
            {"pre_tokenizer": "qwen_2", "renderer": "qwen3\nFROM x"},
            ["exporter.ollama.pre_tokenizer", "exporter.ollama.renderer"],
        ),
        ({"parser": "a b"}, ["exporter.ollama.parser"]),
        (
            {"parameters": {"num_ctx": 8192.5, "temperature": -5.0}},
            [f"{PARAMETERS}.num_ctx", f"{PARAMETERS}.temperature"],
        ),
        ({"parameters": {"stop": 3.0, "top_p": 1.1}}, [f"{PARAMETERS}.stop", f"{PARAMETERS}.top_p"]),
        (
            {"parameters": {"repeat_penalty": 0.0, "seed": -1.0, "num_ctx": 0.0}},
            [f"{PARAMETERS}.repeat_penalty", f"{PARAMETERS}.num_ctx"],
        ),
        ({"parameters": {"num_predict": -2.0, "top_p": 1.0, "top_k": 0.0, "repeat_last_n": -1.0}}, []),
        ({"system": 'Say "hi"'}, ["exporter.ollama.system"]),
        ({"system": '"""x'}, ["exporter.ollama.system"]),
        ({"system": 'Say "hi".\nTwice.', "name": "My/Model:v1"}, []),
        ({"name": "registry.example:5000/me/sea.2:latest"}, []),
        ({"name": "My Model:lat est"}, ["exporter.ollama.name"]),
        ({"name": "a/b/c/d"}, ["exporter.ollama.name"]),
        ({"name": "sea:"}, ["exporter.ollama.name"]),
        ({"name": "-sea"}, ["exporter.ollama.name"]),
        ({"parameters": {"seed": 12345678, "num_ctx": 2**20}, "parser": "qwen3-coder"}, []),
        ({"template": "go", "renderer": "olmo3"}, ["exporter.ollama.template"]),
    ],
)
def test_check(options: dict[str, Any], keys: list[str]) -> None:
    exporter = Ollama(**options, verify=False)
    problems = exporter.check(StubPlan({"exporter": {"ollama": exporter}}, "export"))
    assert [str(problem.key) for problem in problems] == keys


def test_what_is_said_of_parameters() -> None:
    stop, high = parameter_problems("exporter.ollama", {"stop": 3, "top_p": 1.5})
    assert "comes of the template" in stop.message and "top_p" not in f"{stop.message}{stop.advice}"
    assert high.message == "exporter.ollama.parameters.top_p=1.5 is none that Ollama takes."
    assert high.advice == "possible: numbers from 0 to 1"


def test_the_name_of_a_folder() -> None:
    assert [plain_name(text) for text in ("Sea", "My Model (2)", "\u6d77")] == ["sea", "my-model-2", "model"]


# ---- Ollama itself, of which a server stands here that says what Ollama says ---------------------------------------


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """A program `ollama`, and a server that says that each prompt has `tokens` tokens."""
    told: dict[str, Any] = {"tokens": 0, "asked": [], "ran": tmp_path / "ran"}

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._say({"version": "0.30.1"})

        def do_POST(self) -> None:
            told["asked"].append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self._say({"message": {"content": "Nobody."}, "prompt_eval_count": told["tokens"]})

        def _say(self, content: dict[str, Any]) -> None:
            data = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    program = tmp_path / "bin" / "ollama"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$1" >> {told["ran"]}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as held:
        threading.Thread(target=held.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("OLLAMA_HOST", f"127.0.0.1:{held.server_port}")
        yield told
        held.shutdown()


def test_ollama_is_asked_where_it_runs(server: dict[str, Any], tiny_llama: Path, tiny_bpe: Any, tmp_path: Path) -> None:
    handle = handle_of(tiny_llama, tiny_bpe, template=CHATML.bind(tiny_bpe))
    program = running()
    assert isinstance(program, Program) and program.name == "ollama 0.30.1"
    assert program.told("x", [{"role": "user", "content": "Hi"}]) == Told(0, "Nobody.")
    folder = tmp_path / "folder"
    folder.mkdir()
    exporting._prove(folder, handle)
    assert json.loads((folder / "export_report.json").read_text())["ollama"]["program"] == "ollama 0.30.1"
    assert server["ran"].read_text().split() == ["create", "rm"]
    server["tokens"] = 3
    with pytest.raises(TunesmithError, match=r"(?s)ollama 0\.30\.1 makes another model.*has 3 tokens there"):
        exporting._prove(folder, handle)
    assert server["ran"].read_text().split()[-1] == "rm", "what was made for the proof is removed"


def test_without_ollama_the_report_says_so(
    tiny_llama: Path, tiny_bpe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    exporting._prove(tmp_path, handle_of(tiny_llama, tiny_bpe))
    said = json.loads((tmp_path / "export_report.json").read_text())["ollama"]
    assert said == {"program": None, "not_proven": "it is not installed"}
    assert "not proven with Ollama" in caplog.text
