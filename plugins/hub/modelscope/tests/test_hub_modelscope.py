"""ModelScope against a small real server that answers as the hub does."""

import hashlib
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from tunesmith import TunesmithError
from tunesmith_hub_modelscope import ModelScope
from tunesmith_library_testing import HubSuite


class Handler(BaseHTTPRequestHandler):
    """Answers for the repositories in `server.repositories`: (type, id) -> folder."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        kind, owner, name, *what = unquote(parts.path).removeprefix("/api/v1/").split("/")
        self.server.asked.append((what, query, self.headers))
        trouble = self.server.trouble.get(query.get("FilePath", "list"), [])
        happens = trouble.pop(0) if trouble else None
        if isinstance(happens, int):
            return self.reply(happens, b'{"Message": "no"}', {"Retry-After": "0"})
        folder = self.server.repositories.get((kind.removesuffix("s"), f"{owner}/{name}"))
        if folder is None or query.get("Revision", "master") not in ("master", "v2"):
            return self.reply(404, b'{"Code": 10010205001, "Message": "record not found"}')
        if what == ["repo"]:
            return self.file(folder / query["FilePath"], cut=happens == "cut")
        if what[-1:] in (["files"], ["tree"]):
            return self.reply(200, json.dumps({"Data": {"Files": list(self.files(folder))}}).encode())
        return self.reply(200, b'{"Data": {}}')

    def files(self, folder):
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                digest = self.server.digests.get(path.name, digest)
                name = str(path.relative_to(folder))
                yield {"Path": name, "Name": path.name, "Type": "blob", "Size": path.stat().st_size, "Sha256": digest}

    def file(self, path, cut):
        content = path.read_bytes()
        asked = self.headers.get("Range")
        start = int(asked.removeprefix("bytes=").partition("-")[0]) if asked else 0
        about = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if asked else {}
        self.reply(206 if asked else 200, content[start:], about, cut)

    def reply(self, status, content, headers=None, cut=False):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if cut else content)
        if cut:
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.repositories, server.asked, server.trouble, server.digests = {}, [], {}, {}
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    import modelscope_hub._download as download
    import modelscope_hub._legacy_api as listing

    monkeypatch.setattr(download, "DOWNLOAD_RETRY_MAX_DELAY_SECONDS", 0)
    monkeypatch.setattr(download, "DOWNLOAD_INTEGRITY_RETRY_BACKOFF", 0)
    monkeypatch.setattr(listing, "REPO_TREE_PAGE_RETRY_MAX_DELAY_SECONDS", 0)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def hub(server, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    return ModelScope(endpoint=server.url, cache_dir=str(tmp_path / "cache"))


def repository(server, tmp_path, kind, name, **files):
    folder = tmp_path / kind / name
    for file, content in files.items():
        path = folder / file.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    server.repositories[kind, name] = folder


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def downloads(server, file):
    return [headers.get("Range") for _, query, headers in server.asked if query.get("FilePath") == file]


class TestModelScope(HubSuite):
    plugin = ModelScope

    @pytest.fixture
    def publish(self, server, tmp_path, monkeypatch):
        options = {"endpoint": server.url, "cache_dir": str(tmp_path / "cache")}
        monkeypatch.setattr(type(self), "options", options)

        def publish(folder):
            server.repositories["model", "me/tiny"] = folder
            return "me/tiny"

        return publish


def test_models_and_data_sets(hub, server, tmp_path):
    """A model first, a data set where no model has the name; weights in other forms are left out of a model alone."""
    repository(server, tmp_path, "model", "me/both", a_safetensors=b"w", a_bin=b"w", config_json=b"{}")
    repository(server, tmp_path, "dataset", "me/both", train_jsonl=b"{}")
    repository(server, tmp_path, "dataset", "me/data", en__train_jsonl=b"{}", zh__train_jsonl=b"[]")
    assert names(hub.fetch("me/both", "main")) == ["a.safetensors", "config.json"]
    assert names(hub.fetch("datasets/me/both", None)) == ["train.jsonl"]
    assert names(hub.fetch("me/data", "v2")) == ["en/train.jsonl", "zh/train.jsonl"]
    folder = hub.fetch("datasets/me/data/en", None)
    assert names(folder) == ["train.jsonl"] and not (folder.parent / "zh").exists()
    assert hub.fetch("datasets/me/data/zh/train.jsonl", None).read_bytes() == b"[]"


def test_a_cut_download_goes_on(hub, server, tmp_path):
    content = bytes(range(256)) * 4000
    repository(server, tmp_path, "model", "me/tiny", a_bin=content)
    server.trouble["a.bin"] = ["cut"]
    assert (hub.fetch("me/tiny", None) / "a.bin").read_bytes() == content
    first, second = downloads(server, "a.bin")
    assert first is None and second == f"bytes={len(content) // 2}-"
    hub.fetch("me/tiny", None)
    assert len(downloads(server, "a.bin")) == 2, "what is whole is not fetched again"


def test_refused_for_now_is_tried_again(hub, server, tmp_path):
    repository(server, tmp_path, "model", "me/tiny", a_bin=b"w")
    server.trouble.update({"a.bin": [429, 503], "list": [429]})
    assert (hub.fetch("me/tiny", None) / "a.bin").read_bytes() == b"w"


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        ({"list": [401] * 99}, "model me/tiny may not be read with this token"),
        ({"a.bin": [401] * 99}, "a.bin of model me/tiny may not be read with this token"),
        ({"a.bin": [403] * 99}, "a.bin of model me/tiny may not be read with this token"),
        ({"list": [429] * 99}, "refuses more requests at the moment (429), while model me/tiny is fetched"),
        ({"a.bin": [429] * 99}, "refuses more requests at the moment (429), while a.bin of model me/tiny"),
        ({"a.bin": [404] * 99}, "has no a.bin of model me/tiny"),
    ],
)
def test_what_cannot_be_had(hub, server, tmp_path, trouble, message):
    repository(server, tmp_path, "model", "me/tiny", a_bin=b"w")
    server.trouble.update(trouble)
    with pytest.raises(TunesmithError) as raised:
        hub.fetch("me/tiny", None)
    assert message in str(raised.value)


def test_wrong_checksum_and_revision_and_names(hub, server, tmp_path):
    repository(server, tmp_path, "model", "me/tiny", a_bin=b"w")
    server.digests["a.bin"] = "0" * 64
    with pytest.raises(TunesmithError, match=r"a\.bin of model me/tiny from .* is not what its checksum says"):
        hub.fetch("me/tiny", None)
    with pytest.raises(TunesmithError, match="no model me/tiny, or not its revision v9"):
        hub.fetch("me/tiny", "v9")
    with pytest.raises(TunesmithError, match="dataset me/tiny"):
        hub.fetch("datasets/me/tiny", None)
    with pytest.raises(TunesmithError, match="'tiny' is not a name on ModelScope"):
        hub.fetch("tiny", None)
    with pytest.raises(TunesmithError, match="model me/tiny on ModelScope has no zh"):
        hub.fetch("me/tiny/zh", None)


def test_without_server(hub, server):
    server.shutdown()
    server.server_close()
    with pytest.raises(TunesmithError, match="cannot be reached for"):
        hub.fetch("me/tiny", None)


def test_a_cached_file_is_found_in_todays_and_earlier_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path))
    hub = ModelScope()
    assert hub.cached("org/name-1.5/config.json", None) is None
    for inside in ("hub/models/org/name-1___5", "models/org--name-1.5/snapshots/master"):
        folder = tmp_path / inside
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}", encoding="utf-8")
        for revision in (None, "main"):
            assert hub.cached("org/name-1.5/config.json", revision) == folder / "config.json"
