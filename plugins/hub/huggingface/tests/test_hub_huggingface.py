"""The Hugging Face hub against a small real server that answers as the hub does."""

import hashlib
import json
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from huggingface_hub import try_to_load_from_cache
from tunesmith import TunesmithError
from tunesmith_hub_huggingface import HuggingFace
from tunesmith_library_testing import HubSuite

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Handler(BaseHTTPRequestHandler):
    """Answers for the repositories in `server.repositories`: (type, id) -> folder."""

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        self.server.asked.append((self.command, path, self.headers.get("Authorization")))
        if api := re.fullmatch(r"/api/(model|dataset)s/([^/]+/[^/]+)/(revision|tree)/([^/]+)/?", path):
            return self.answer_about(*api.groups())
        if file := re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)/resolve/[^/]+/(.+)", path):
            folder = self.server.repositories.get(("dataset" if file[1] else "model", file[2]))
            if folder and (folder / file[3]).is_file():
                content = (folder / file[3]).read_bytes()
                tag = hashlib.sha1(content).hexdigest()
                return self.reply(200, content, {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT})
        self.reply(404, b"", {"X-Error-Code": "RepoNotFound"})

    def answer_about(self, kind, repository, what, revision):
        folder = self.server.repositories.get((kind, repository))
        if "gated" in repository:
            return self.reply(403, b"{}", {"X-Error-Code": "GatedRepo"})
        if folder is None:
            return self.reply(401, b'{"error": "Repository not found"}', {"X-Error-Code": "RepoNotFound"})
        if revision not in ("main", COMMIT):
            return self.reply(404, b'{"error": "Invalid rev id"}', {"X-Error-Code": "RevisionNotFound"})
        files = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
        if what == "tree":
            tree = [
                {
                    "type": "file",
                    "path": name,
                    "size": path.stat().st_size,
                    "oid": hashlib.sha1(path.read_bytes()).hexdigest(),
                }
                for name, path in files.items()
            ]
            return self.reply(200, json.dumps(tree).encode())
        info = {"id": repository, "sha": COMMIT, "siblings": [{"rfilename": name} for name in files]}
        self.reply(200, json.dumps(info).encode())

    def reply(self, status, content, headers=None):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.repositories, server.asked = {}, []
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def hub(server, tmp_path):
    return HuggingFace(endpoint=server.url, cache_dir=str(tmp_path / "cache"))


def repository(server, tmp_path, kind, name, *files):
    folder = tmp_path / kind / name
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(f"{kind} {file}")
    server.repositories[kind, name] = folder


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


class TestHuggingFace(HubSuite):
    plugin = HuggingFace

    @pytest.fixture
    def publish(self, server, tmp_path, monkeypatch):
        options = {"endpoint": server.url, "cache_dir": str(tmp_path / "cache")}
        monkeypatch.setattr(type(self), "options", options)

        def publish(folder):
            server.repositories["model", "me/tiny"] = folder
            return "me/tiny"

        return publish


def test_models_and_data_sets_of_the_same_name(hub, server, tmp_path):
    repository(server, tmp_path, "model", "me/both", "a.txt")
    repository(server, tmp_path, "dataset", "me/both", "a.txt")
    repository(server, tmp_path, "dataset", "me/data", "a.txt")
    assert (hub.fetch("me/both", None) / "a.txt").read_text() == "model a.txt"
    assert (hub.fetch("datasets/me/both", None) / "a.txt").read_text() == "dataset a.txt"
    assert (hub.fetch("me/data", None) / "a.txt").read_text() == "dataset a.txt", "there is no such model"


def test_weights_in_other_forms_are_left_out(hub, server, tmp_path):
    repository(server, tmp_path, "model", "me/new", "config.json", "model.safetensors", "model.bin", "x/model.onnx")
    repository(server, tmp_path, "model", "me/old", "config.json", "model.bin")
    assert names(hub.fetch("me/new", None)) == ["config.json", "model.safetensors"]
    assert names(hub.fetch("me/old", None)) == ["config.json", "model.bin"]


def test_a_part_of_a_repository(hub, server, tmp_path):
    repository(server, tmp_path, "dataset", "me/data", "en/a.jsonl", "en/deep/b.jsonl", "zh/a.jsonl")
    folder = hub.fetch("datasets/me/data/en", None)
    assert names(folder) == ["a.jsonl", "deep/b.jsonl"]
    assert names(folder.parent) == ["en/a.jsonl", "en/deep/b.jsonl"], "nothing else was downloaded"
    assert hub.fetch("datasets/me/data/zh/a.jsonl", None).read_text() == "dataset zh/a.jsonl"
    with pytest.raises(TunesmithError, match="dataset me/data on the Hugging Face hub has no de"):
        hub.fetch("datasets/me/data/de", None)


def test_revision(hub, server, tmp_path):
    repository(server, tmp_path, "model", "me/tiny", "a.txt")
    assert hub.fetch("me/tiny", COMMIT).name == COMMIT
    with pytest.raises(TunesmithError, match="model me/tiny has no revision v9"):
        hub.fetch("me/tiny", "v9")


def test_what_cannot_be_had(hub, server):
    for address, message in {
        "me/missing": "no model me/missing, or it is private",
        "datasets/me/missing": "no dataset me/missing, or it is private",
        "me/gated": "model me/gated is gated\n  ask for access at",
        "me/a..b": "is not a name",
    }.items():
        with pytest.raises(TunesmithError) as raised:
            hub.fetch(address, None)
        assert message in str(raised.value)


def test_without_server(hub, server, tmp_path):
    """What was fetched once is there without a network; what was not says what to do."""
    repository(server, tmp_path, "model", "me/tiny", "a.safetensors")
    hub.fetch("me/tiny", None)
    server.shutdown()
    server.server_close()
    assert names(hub.fetch("me/tiny", None)) == ["a.safetensors"]
    with pytest.raises(TunesmithError) as raised:
        hub.fetch("me/other", None)
    assert "cannot be reached" in str(raised.value) and "HF_HUB_OFFLINE" in str(raised.value)


PROGRAM = """
import logging, sys
from tunesmith_hub_huggingface import HuggingFace
logging.basicConfig(level=logging.DEBUG)
logging.getLogger("filelock").setLevel(logging.WARNING)
print(HuggingFace().fetch(sys.argv[1], None))
"""


def test_environment(server, tmp_path):
    """The server, the cache and the token come from the environment; the token is sent and never shown."""
    repository(server, tmp_path, "model", "me/tiny", "a.safetensors")
    environment = {
        "HF_ENDPOINT": server.url,
        "HF_HOME": str(tmp_path / "home"),
        "HF_TOKEN": "hf_notARealToken",
        "PATH": "",
    }
    command = [sys.executable, "-c", PROGRAM, "me/tiny"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(tmp_path / "home")
    assert "Bearer hf_notARealToken" in {authorization for _, _, authorization in server.asked}
    assert "hf_notARealToken" not in done.stdout + done.stderr
    server.shutdown()
    command[-1] = "me/missing"
    done = subprocess.run(
        command, capture_output=True, text=True, env={**environment, "HF_HUB_OFFLINE": "1"}, timeout=60
    )
    assert done.returncode and "hf_notARealToken" not in done.stdout + done.stderr


def test_a_cached_file_is_found_as_huggingface_hub_finds_it(tmp_path, monkeypatch):
    """Without importing it: by its folders of branches and commits, wherever the environment puts them."""
    folder = tmp_path / "hub" / "models--org--name"
    for commit, branch in (("a" * 40, "main"), ("b" * 40, "v2")):
        (folder / "snapshots" / commit).mkdir(parents=True)
        (folder / "snapshots" / commit / "config.json").write_text(branch, encoding="utf-8")
        (folder / "refs").mkdir(exist_ok=True)
        (folder / "refs" / branch).write_text(commit, encoding="utf-8")
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.delenv("HUGGINGFACE_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    hubs = [HuggingFace(), HuggingFace(cache_dir=str(tmp_path / "hub"))]
    for revision in (None, "v2", "b" * 40):
        reference = try_to_load_from_cache("org/name", "config.json", cache_dir=tmp_path / "hub", revision=revision)
        assert [str(hub.cached("org/name/config.json", revision)) for hub in hubs] == [reference] * 2
    assert hubs[0].cached("org/name/config.json", "v3") is hubs[0].cached("org/other/config.json", None) is None
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "empty"))
    assert hubs[0].cached("org/name/config.json", None) is None
