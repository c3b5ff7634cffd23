"""Against real servers: a tiny model that transformers computes, and such as serve something else."""

import contextlib
import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tunesmith import TunesmithError
from tunesmith_command_verify import Verify
from tunesmith_command_verify.client import Client
from tunesmith_command_verify.replies import reply_of, tokens_of
from tunesmith_command_verify.verifying import chosen, verified
from tunesmith_library_testing import CommandSuite

KEY = "sk-never-shown-0123456789"


class TestVerify(CommandSuite):
    plugin = Verify


class Handler(BaseHTTPRequestHandler):
    """Gives what `server.respond` returns, or the statuses that `server.replies` holds before that."""

    def do_GET(self) -> None:
        self._answer({})

    def do_POST(self) -> None:
        self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _answer(self, question: dict[str, Any]) -> None:
        server: Any = self.server
        server.heard.append((self.path, question, self.headers.get("Authorization")))
        replies = server.replies
        status, said = replies.pop(0) if replies else server.respond(self.path, question)
        body = json.dumps(said).encode() if not isinstance(said, bytes) else said
        self.send_response(status)
        self.send_header("Content-Type", "text/event-stream" if body.startswith(b"data:") else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def serving(respond: Any) -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.respond, server.heard, server.replies = respond, [], []
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Transformers:
    """Speaks the protocol with a folder's model, whose ChatML it writes itself."""

    def __init__(
        self, folder: Path, log_probs: bool = True, line: str = "\n", cut: int | None = None, late: bool = False
    ) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.model = AutoModelForCausalLM.from_pretrained(folder)
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.log_probs, self.line, self.cut, self.late = log_probs, line, cut, late

    def __call__(self, path: str, question: dict[str, Any]) -> tuple[int, Any]:
        if path == "/v1/models":
            return 200, {"object": "list", "data": [{"id": "tiny"}]}
        if not self.log_probs and (question.get("logprobs") or question.get("echo")):
            return 400, {"error": {"message": "logprobs are not supported"}}
        if path == "/v1/completions":
            return 200, self.echo(question["prompt"])
        turns = [f"<|im_start|>{t['role']}{self.line}{t['content']}<|im_end|>\n" for t in question["messages"]]
        ids = self.tokenizer.encode("".join(turns) + f"<|im_start|>assistant{self.line}", add_special_tokens=False)
        found, ends = self.greedy(ids, self.cut or question["max_tokens"])
        content = [
            {"token": self.tokenizer.decode([token]), "logprob": value, "bytes": self.bytes_of(token)}
            for token, value in found
        ]
        text = self.tokenizer.decode([token for token, _ in found])
        choice: dict[str, Any] = {"message": {"role": "assistant", "content": text}}
        choice |= {"finish_reason": "stop" if ends else "length"}
        choice |= {"logprobs": {"content": content}} if self.log_probs else {}
        return 200, {"choices": [choice], "usage": {"prompt_tokens": len(ids), "completion_tokens": len(found)}}

    def bytes_of(self, token: int) -> list[int]:
        from transformers.convert_slow_tokenizer import bytes_to_unicode

        said = {shown: byte for byte, shown in bytes_to_unicode().items()}
        piece = str(self.tokenizer.convert_ids_to_tokens(token))
        return [said[each] for each in piece] if token not in self.tokenizer.all_special_ids else list(piece.encode())

    def greedy(self, ids: list[int], count: int) -> tuple[list[tuple[int, float]], bool]:
        import torch

        found = list[tuple[int, float]]()
        for _ in range(count):
            with torch.no_grad():
                said = self.model(torch.tensor([[*ids, *(token for token, _ in found)]])).logits[0, -1].log_softmax(-1)
            token = int(said.argmax())
            if token == self.tokenizer.eos_token_id or self.tokenizer.decode([token]) == "<|im_end|>":
                return found, True
            found.append((token, float(said[token])))
        return found, False

    def echo(self, ids: list[int]) -> dict[str, Any]:
        import torch

        with torch.no_grad():
            said = self.model(torch.tensor([ids])).logits[0].log_softmax(-1)
        values = [None, *(float(said[at + self.late, token]) for at, token in enumerate(ids[1:]))]
        values.append(float(said[-1].max()))
        return {"choices": [{"logprobs": {"token_logprobs": values}}], "usage": {"prompt_tokens": len(ids)}}


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """In bf16 two tokens of a random model may be as likely, and which is the first depends on the processor."""
    if find_spec("tunesmith_library_loading"):
        monkeypatch.setattr("tunesmith_library_loading.precision.has_bf16", lambda kind: False)


@pytest.fixture(scope="module")
def folder(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model that is sure of what it says."""
    for package in ("model_transformers", "hub_local", "template_auto", "template_chatml"):
        pytest.importorskip(f"tunesmith_{package}")
    return louder(tiny_llama, tmp_path_factory.mktemp("served") / "model", 0)


def louder(source: Path, target: Path, seed: int) -> Path:
    import torch
    from safetensors.torch import load_file, save_file

    shutil.copytree(source, target)
    weights = load_file(source / "model.safetensors")
    shape = weights["lm_head.weight"].shape
    weights["lm_head.weight"] = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 0.3
    save_file(weights, target / "model.safetensors", {"format": "pt"})
    return target


def found_at(folder: Path, url: str, **options: Any) -> Any:
    given = {"model": None, "api_key_env": None, "tolerance": 0.1, "timeout": 30.0, **options}
    return verified(str(folder), url, **given)


def test_what_is_served_is_what_was_trained(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVED", KEY)
    with serving(Transformers(folder)) as server:
        result = CliRunner().invoke(Verify().command(), [str(folder), "--url", server.url, "--api-key-env", "SERVED"])
        assert result.exit_code == 0, result.output
        assert "what is served is what was trained" in result.output and KEY not in result.output
        assert max(map(len, result.stdout.splitlines())) <= 80
        assert {heard[2] for heard in server.heard} == {f"Bearer {KEY}"}
        assert {heard[0] for heard in server.heard} == {"/v1/models", "/v1/chat/completions", "/v1/completions"}
        found = found_at(folder, f"{server.url}/v1/")
    assert found.same_choice == 1 and len(found.asked) == 2 and found.passed_over == 0
    assert sum(len(each.apart) for each in found.asked) == 32 and len(found.echoed) > 100
    assert max(map(abs, found.echoed)) < 0.05


@pytest.mark.parametrize("log_probs", [True, False])
def test_other_weights(folder: Path, tmp_path: Path, log_probs: bool) -> None:
    other = louder(folder, tmp_path / "other", 1)
    with serving(Transformers(other, log_probs)) as server:
        told = "\n".join(found_at(folder, server.url).problems())
    assert "the answers: " in told and ("the weights: log-probabilities of the answers" in told) is log_probs
    assert "template" not in told


def test_words_alone(folder: Path) -> None:
    with serving(Transformers(folder, log_probs=False)) as server:
        found = found_at(folder, server.url)
    assert found.problems() == [] and found.same_choice == 1
    assert "no log-probabilities" in found.described() and not found.echoed


def test_log_probabilities_one_place_late(folder: Path) -> None:
    """As llama-cpp-python gives them."""
    with serving(Transformers(folder, late=True)) as server:
        found = found_at(folder, server.url)
    assert found.problems() == [] and "one place late" in found.described()


def test_another_template(folder: Path) -> None:
    with serving(Transformers(folder, line="\n\n")) as server:
        first, *others = found_at(folder, server.url).problems()
    assert "the template or the tokenizer: 2 of 2 prompts" in first
    assert "the prompts, not the weights: log-probabilities of the answers" in "\n".join(others)


def test_a_server_that_cuts_answers(folder: Path) -> None:
    with serving(Transformers(folder, cut=3)) as server:
        assert "cuts them after 3 of the 16 tokens" in "\n".join(found_at(folder, server.url).problems())


def test_a_busy_server_is_asked_again_and_a_wrong_name_is_told(folder: Path) -> None:
    with serving(Transformers(folder)) as server:
        server.replies += [(429, {}), (503, {})]
        assert Client(server.url).models() == ["tiny"]
        with pytest.raises(TunesmithError, match=r"serves no model tinny\.\n.*tiny.*did you mean tiny\?"):
            found_at(folder, server.url, model="tinny")
    assert chosen(["a:latest", "b"], "a", "here") == "a:latest"
    with pytest.raises(TunesmithError, match="serves 2 models"):
        chosen(["a", "b"], None, "here")


def test_a_server_that_loads_its_model_is_waited_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It answers 503 for longer than a busy one is asked again, or is not there yet."""
    monkeypatch.setattr("tunesmith_command_verify.client._PAUSE", 0.001)
    with serving(Transformers(folder)) as server:
        server.replies += [(503, {})] * 20
        Client(server.url).wait(30)
        assert not server.replies and len(server.heard) == 21
        server.respond = lambda *_: (503, {})
        with pytest.raises(TunesmithError, match=r"status 503, and did so for 0\.01 s\.\n.*--wait SECONDS"):
            Client(server.url).wait(0.01)
        server.respond = lambda *_: (401, {})
        Client(server.url).wait(30)  # it runs; what it wants is said where it is asked
    with pytest.raises(TunesmithError, match="refuses connections, and did so"):
        Client(server.url).wait(0.01)
    assert caplog.messages[0].endswith("answers with status 503; waiting 30 s for it to start (--wait)")
    assert sum("waiting 30 s" in message for message in caplog.messages) == 1


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        ((401, {"error": {"message": f"wrong key {KEY}"}}), r"status 401: wrong key \*\*\*\n.*does not know the key"),
        ((403, {}), r"status 403(.|\n)*refuses the key that was sent"),
        ((302, b""), "status 302\n.*is not followed"),
        ((200, b"<html>"), "answered no JSON"),
        ((200, b"data: {}\n\n"), "streams its answer"),
        ((200, {"object": "list"}), "lists no models"),
    ],
)
def test_what_is_no_such_server(reply: tuple[int, Any], told: str) -> None:
    with serving(lambda *_: reply) as server, pytest.raises(TunesmithError, match=told) as caught:
        Client(server.url, KEY).models()
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(("status", "told"), [(401, "wants a key: --api-key-env NAME"), (403, "sends no key: --api")])
def test_a_key_that_lacks(status: int, told: str) -> None:
    with serving(lambda *_: (status, {})) as server, pytest.raises(TunesmithError, match=told):
        Client(server.url).models()


def test_answers_in_the_forms_that_servers_give(tiny_bpe: Any) -> None:
    """End tokens that are listed, bytes that are not, white space that is taken away, thoughts, no counts."""
    likeliest = tiny_bpe.encode("\n\nHello there", add_special_tokens=False)
    texts = [tiny_bpe.decode([token]) for token in likeliest]
    listed = [{"token": text, "logprob": -0.5} for text in [*texts, "<|im_end|>"]]
    choice: dict[str, Any] = {"message": {"content": "Hello there"}, "logprobs": {"content": listed}}
    reply = reply_of({"choices": [choice]})
    assert reply.prompt_tokens is None and not reply.hidden
    assert tokens_of(reply, tiny_bpe, likeliest, {"<|im_end|>"}) == (likeliest, (-0.5,) * len(likeliest))
    words = reply_of({"choices": [{"message": {"content": "Hello there"}}]})
    assert tokens_of(words, tiny_bpe, likeliest, set()) == (likeliest, ())
    other = tiny_bpe.encode("Hello where", add_special_tokens=False)
    words = reply_of({"choices": [{"message": {"content": "Hello where", "reasoning_content": "hm"}}]})
    assert tokens_of(words, tiny_bpe, likeliest, set()) == (other, ()) and words.hidden
    with pytest.raises(TunesmithError, match="not one of chat/completions"):
        reply_of({"choices": []})


def test_nobody_is_there(folder: Path) -> None:
    with serving(lambda *_: (404, {})) as server, pytest.raises(TunesmithError, match="does not say what it serves"):
        found_at(folder, server.url)
    with pytest.raises(TunesmithError, match="cannot be reached"):
        found_at(folder, server.url)  # which has gone
    for url in ("localhost:8000", "http://user:secret@host", "ftp://host"):
        with pytest.raises(TunesmithError, match="--url") as caught:
            Client(url)
        assert "secret" not in str(caught.value)
    with pytest.raises(TunesmithError, match="--api-key-env NOT_SET"):
        found_at(folder, server.url, api_key_env="NOT_SET")
