"""Model cards as the hub reads them, and uploads to a server on this machine that speaks the hub's protocol."""

import base64
import dataclasses
import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard
from tunesmith import TunesmithError
from tunesmith_library_publishing.cards import Kind, front_matter, write_card
from tunesmith_library_publishing.pushing import push, push_problems, refuse_unpushable
from tunesmith_library_testing.parts import StubPlan, handle_of

TOKEN = "hf_abcdefghijklmnopqrstuvwxyz012345"


class Hub(BaseHTTPRequestHandler):
    """The part of the hub that an upload talks to."""

    repositories: dict[str, bool]  # name: private
    files: dict[str, bytes]
    tokens: set[str | None]

    def answer(self, said: Any, status: int = 200) -> None:
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if status == 404:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        name = "/".join(self.path.removeprefix("/api/models/").split("?")[0].split("/")[:2])
        if name not in self.repositories:
            return self.answer({"error": "Repository not found"}, 404)
        return self.answer(
            {"id": name, "private": self.repositories[name], "sha": "0" * 40, "siblings": [], "tags": []}
        )

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.tokens.add(self.headers.get("authorization"))
        here = f"http://{self.headers['host']}"
        if self.path == "/api/validate-yaml":  # which looks at the head of a card
            return self.answer({"errors": [], "warnings": []})
        if self.path == "/api/repos/create":
            said = json.loads(body)
            name = f"{said.get('organization') or 'me'}/{said['name']}"
            if self.headers.get("authorization") != f"Bearer {TOKEN}":
                return self.answer({"error": f"the token {self.headers.get('authorization')} may not do that"}, 403)
            found = {"url": f"{here}/{name}", "name": name}
            if name in self.repositories:
                return self.answer({"error": "You already created this model repo", **found}, 409)
            self.repositories[name] = said.get("visibility") == "private" or bool(said.get("private"))
            return self.answer(found)
        if "/preupload/" in self.path:
            files = [{**each, "uploadMode": "regular", "shouldIgnore": False} for each in json.loads(body)["files"]]
            return self.answer({"files": files})
        if "/commit/" in self.path:
            for line in map(json.loads, body.decode().splitlines()):
                if line["key"] == "file":
                    self.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            return self.answer({"commitUrl": f"{here}/me/x/commit/{1:040}", "commitOid": f"{1:040}", "hookOutput": ""})
        return self.answer({"error": f"no such place {self.path}"}, 400)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    class Fresh(Hub):
        repositories, files, tokens = {}, {}, set()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Fresh)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    yield Fresh
    server.shutdown()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "config.json").write_text("{}")
    (tmp_path / "out" / "README.md").write_text("# Mine\n")
    return tmp_path / "out"


def test_an_upload_is_private_and_whole(hub: type[Hub], folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        push(folder, "me/tiny", private=True)
    assert hub.repositories == {"me/tiny": True}
    assert hub.files == {file.name: file.read_bytes() for file in folder.iterdir()}
    assert hub.tokens == {f"Bearer {TOKEN}"} and TOKEN not in caplog.text


def test_what_is_public_already_is_not_published_by_chance(hub: type[Hub], folder: Path) -> None:
    hub.repositories["me/tiny"] = False
    with pytest.raises(TunesmithError, match=r"me/tiny is there and public.*\n.*exporter\.private=false publishes it"):
        push(folder, "me/tiny", private=True)
    assert not hub.files
    push(folder, "me/tiny", private=False)
    assert set(hub.files) == {"config.json", "README.md"}


def test_a_hub_that_cannot_be_reached(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with pytest.raises(TunesmithError, match=r"me/tiny could not be uploaded: .*\n.*out is complete; upload it with"):
        push(folder, "me/tiny", private=True)
    with pytest.raises(TunesmithError, match=r"me/tiny could not be asked for: .*\n.*nothing was written"):
        refuse_unpushable("me/tiny", private=True)


def test_what_cannot_be_uploaded_is_known_before_the_work(hub: type[Hub], monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_unpushable(None, private=True)
    refuse_unpushable("me/tiny", private=True)
    hub.repositories["me/tiny"] = False
    refuse_unpushable("me/tiny", private=False)
    with pytest.raises(TunesmithError, match=r"(?s)there and public.*nothing was written"):
        refuse_unpushable("me/tiny", private=True)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    with pytest.raises(TunesmithError, match="without a token"):
        refuse_unpushable("me/tiny", private=False)


def test_what_the_hub_refuses_is_told_without_the_token(
    hub: type[Hub], folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    other = TOKEN.replace("abc", "xyz")
    monkeypatch.setenv("HF_TOKEN", other)
    with pytest.raises(TunesmithError, match=r"me/tiny could not be uploaded: .*\n.*hf upload me/tiny") as error:
        push(folder, "me/tiny", private=True)
    assert other not in str(error.value) and other not in caplog.text and not hub.files


@dataclasses.dataclass
class Pushing:
    push_to: str | None = None


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        ({"a": None}, None),
        ({"a": "me/tiny"}, None),
        ({"a": "tiny"}, "no repository of the hub"),
        ({"a": "me/tiny", "b": "me/tiny"}, "would upload over each other"),
        ({"a": "me/tiny", "b": "me/other"}, None),
    ],
)
def test_where_to_upload_is_checked(
    targets: dict[str, str | None], said: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    plan = StubPlan({"exporter": {name: Pushing(target) for name, target in targets.items()}}, "export")
    problems = push_problems(plan, "a")
    assert (said is None and problems == []) or (said is not None and said in problems[0].message)


def test_a_card_as_the_hub_reads_it(tmp_path: Path, tiny_bpe: Any) -> None:
    base, run, out = (tmp_path / name for name in ("base", "run", "out"))
    for made in (base, run, out):
        made.mkdir()
    (base / "README.md").write_text("---\nlicense: gemma\nlicense_link: https://example.org/terms\n---\n# Base\n")
    config = {
        "model": {"name": "transformers", "path": "org/tiny-7b"},
        "data": {"train": [{"path": "tatsu-lab/alpaca"}, {"path": "/home/somebody/secret/chats.json"}]},
        "stage": {"name": "sft"},
        "adapter": {"name": "lora", "rank": 8, "path": None},
        "trainer": {"learning_rate": 2e-4, "num_train_epochs": 2.0},
    }
    (run / "run.yaml").write_text(yaml.safe_dump(config))
    (run / "plugins.lock").write_text("tunesmith==0.1.0\n")
    lines = [{"event": "evaluation", "step": step, "eval_loss": loss} for step, loss in ((5, 2.0), (10, 1.25))]
    (run / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (out / "export_report.json").write_text(json.dumps({"program": "peft 1", "figures": {"divergence": 0.5}}))
    write_card(dataclasses.replace(handle_of(base, tiny_bpe), adapter=run), out, Kind("peft", "adapter"))
    card = ModelCard.load(out / "README.md")
    data = card.data.to_dict()
    assert (data["base_model"], data["base_model_relation"]) == ("org/tiny-7b", "adapter")
    assert (data["license"], data["license_link"]) == ("gemma", "https://example.org/terms")
    assert (data["datasets"], data["library_name"]) == (["tatsu-lab/alpaca"], "peft")
    assert data["pipeline_tag"] == "text-generation" and data["tags"] == ["tunesmith", "sft", "lora"]
    for said in ("| `adapter.rank` | 8 |", "| `trainer.learning_rate` | 0.0002 |", "| eval_loss | 1.25 |", "peft 1"):
        assert said in card.text
    assert "`chats.json` (local)" in card.text and "somebody" not in card.content and "tunesmith 0.1.0" in card.text


def test_a_model_that_no_run_trained_keeps_its_card(folder: Path, tiny_bpe: Any, tmp_path: Path) -> None:
    write_card(handle_of(tmp_path, tiny_bpe), folder)
    assert (folder / "README.md").read_text() == "# Mine\n" and front_matter(folder / "README.md") == {}
