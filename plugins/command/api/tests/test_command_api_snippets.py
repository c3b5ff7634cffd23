"""Client code that is printed is client code that works: each language is run against a server."""

import importlib.util
import os
import shutil
import subprocess

import pytest
from click.testing import CliRunner
from tunesmith import TunesmithError
from tunesmith_command_api import Api
from tunesmith_command_api.server import Server
from tunesmith_command_api.snippets import LANGUAGES, snippet

NAME = 'org/it\'s "tiny" $x'  # which has to be quoted in every language


@pytest.fixture
def served(serving):
    """A server with a key that says `Tü!`."""
    from tunesmith.types import Delta

    served = serving(model_name=NAME, api_key="geheim")

    def say(request, answer):
        for token in served.service.tokenizer.encode("Tü!", add_special_tokens=False):
            answer.put(Delta((token,)))
        answer.put(Delta((), (), "length"))

    served.engine.on_submit = say
    return served


def code_for(served, language):
    code = snippet(language, f"http://127.0.0.1:{served.port}", NAME, "A_KEY")
    assert "geheim" not in code and "A_KEY" in code
    return code


def test_python(served, monkeypatch, capsys):
    pytest.importorskip("openai")
    code = code_for(served, "python")
    with pytest.raises(KeyError, match="A_KEY"):
        exec(compile(code, "ask.py", "exec"), {})
    monkeypatch.setenv("A_KEY", "geheim")
    exec(compile(code, "ask.py", "exec"), {})
    assert capsys.readouterr().out == "Tü!\n"


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
def test_curl(served):
    def ask(key):
        return subprocess.run(
            ["sh", "-c", code_for(served, "curl")], capture_output=True, env={**os.environ, "A_KEY": key}, timeout=30
        )

    assert '"content":"Tü!"' in ask("geheim").stdout.decode()
    assert ask("other").returncode == 22


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("node"), reason="needs node")
def test_javascript(served, tmp_path):
    (tmp_path / "ask.mjs").write_text(code_for(served, "javascript"))
    words = ["node", str(tmp_path / "ask.mjs")]
    done = subprocess.run(words, capture_output=True, env={**os.environ, "A_KEY": "geheim"}, timeout=30)
    assert done.stdout.decode() == "Tü!\n", done.stderr.decode()


def test_langchain(served, monkeypatch, capsys):
    code = compile(code_for(served, "langchain"), "ask.py", "exec")
    if importlib.util.find_spec("langchain_openai"):
        monkeypatch.setenv("A_KEY", "geheim")
        exec(code, {})
        assert capsys.readouterr().out == "Tü!\n"


def test_a_server_without_a_key_is_asked_without():
    for language in LANGUAGES:
        code = snippet(language, "http://127.0.0.1:8000", "tiny")
        assert "os.environ" not in code and "import os" not in code and "$API_KEY" not in code


@pytest.mark.slow
def test_the_command_prints_and_loads_nothing(tiny_llama, monkeypatch):
    for name in ("TUNESMITH_API_KEY", "API_KEY"):
        monkeypatch.delenv(name, raising=False)
    run = CliRunner().invoke
    words = [f"model.path={tiny_llama}", "template=chatml", "--snippet", "python"]
    shown = run(Api().command(), words)
    assert shown.exit_code == 0, shown.output
    assert 'model="llama"' in shown.stdout and '"http://127.0.0.1:8000/v1", api_key="none"' in shown.stdout
    monkeypatch.setenv("API_KEY", "geheim")
    there = run(Api().command(), [*words, "--host", "::", "--port", "9000", "--model-name", "mine"])
    assert '"http://[::1]:9000/v1", api_key=os.environ["API_KEY"]' in there.stdout and 'model="mine"' in there.stdout
    assert "geheim" not in there.stdout and "geheim" not in there.stderr
    with pytest.raises(TunesmithError, match="--port 8000"):
        Server({"model": {"path": str(tiny_llama)}, "template": "chatml"}, port=0).snippet("curl")
    assert run(Api().command(), ["--snippet", "perl"]).exit_code == 2
