"""Modelers: its client against a small real server that answers as the hub does, where the client is installed."""

import hashlib
import json
import re
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from tunesmith import TunesmithError
from tunesmith_hub_modelers import Modelers
from tunesmith_library_testing import HubSuite

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CONTENT = bytes(range(256)) * 8000
CHUNK = 1 << 16


class Handler(BaseHTTPRequestHandler):
    """Answers for the repositories in `server.repositories`: id -> content by name."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        found = re.fullmatch(r"/api/v1/file/([^/]+/[^/]+)(?:/(info)|/([^/]+)/media/(.+))?", unquote(parts.path))
        repository, info, _, media = found.groups()
        file = media or (query["path"] if info else "list")
        files = self.server.repositories.get(repository)
        happens = self.server.happens.get(f"info {file}" if info else file, [])
        happens = happens.pop(0) if happens else None
        if media:
            self.server.asked.append(self.headers.get("Range"))
        if isinstance(happens, int):
            return self.reply(happens, b'{"code": "no"}')
        if files is None or query.get("ref", "main") not in ("main", "v2"):
            return self.reply(404, b'{"code": "not_found"}')
        if media:
            return self.content(files[media], happens == "cut")
        if info:
            about = {"branch_last_commit": COMMIT, "etag": self.tag(files, file), "size": len(files[file])}
            return self.reply(200, json.dumps({"data": about}).encode())
        return self.reply(200, json.dumps({"data": {"tree": list(self.tree(files, query["path"]))}}).encode())

    def tree(self, files, folder):
        seen = set()
        for path in files:
            inside = path.removeprefix(f"{folder}/") if folder else path
            if folder and inside == path:
                continue
            first, _, rest = inside.partition("/")
            name = f"{folder}/{first}" if folder else first
            if name not in seen:
                about = {"etag": self.tag(files, path), "size": len(files[path]), "is_lfs": True}
                yield {"type": "dir" if rest else "file", "path": name, "name": first, **about}
            seen.add(name)

    def tag(self, files, path):
        return self.server.tags.get(path, hashlib.sha256(files[path]).hexdigest())

    def content(self, content, cut):
        asked = self.headers.get("Range")
        start = int(asked.removeprefix("bytes=").partition("-")[0]) if asked else 0
        self.reply(206 if asked else 200, content[start:], cut)

    def reply(self, status, content, cut=False):
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
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
    """The client speaks to its own hosts by HTTPS alone, which it is talked out of here."""
    pytest.importorskip("openmind_hub")
    from openmind_hub.plugins.openmind import file_download, om_api
    from openmind_hub.plugins.openmind.utils import _validators
    from tunesmith_hub_modelers import fetching

    monkeypatch.setattr(om_api, "urlparse", lambda url: SimpleNamespace(scheme="https"))
    monkeypatch.setattr(_validators, "validate_url", lambda url: None)
    monkeypatch.setattr(file_download.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(file_download, "DOWNLOAD_CHUNK_SIZE", CHUNK)
    monkeypatch.setattr(fetching, "_PAUSE", 0.0)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.repositories, server.happens, server.tags, server.asked = {}, {}, {}, []
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def hub(server, tmp_path):
    return Modelers(endpoint=server.url, cache_dir=str(tmp_path / "cache"))


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


class TestModelers(HubSuite):
    plugin = Modelers

    @pytest.fixture
    def publish(self, server, tmp_path, monkeypatch):
        monkeypatch.setattr(type(self), "options", {"endpoint": server.url, "cache_dir": str(tmp_path / "cache")})

        def publish(folder):
            server.repositories["mine/tiny"] = {name: (folder / name).read_bytes() for name in names(folder)}
            return "mine/tiny"

        return publish


def test_models_and_data_sets(hub, server):
    server.repositories["mine/model"] = {"a.safetensors": b"w", "a.bin": b"w", "sub/config.json": b"{}"}
    server.repositories["mine/data"] = {"en/train.jsonl": b"{}", "zh/train.jsonl": b"[]", "a.bin": b""}
    assert names(hub.fetch("mine/model", None)) == ["a.safetensors", "sub/config.json"]
    folder = hub.fetch("datasets/mine/data/en", "v2")
    assert names(folder) == ["train.jsonl"] and not (folder.parent / "zh").exists()
    assert hub.fetch("datasets/mine/data/zh/train.jsonl", None).read_bytes() == b"[]"


def test_a_cut_download_goes_on(hub, server):
    server.repositories["mine/tiny"] = {"a.bin": CONTENT}
    server.happens = {"a.bin": ["cut", 503], "list": [429], "info a.bin": [429]}
    assert (hub.fetch("mine/tiny", None) / "a.bin").read_bytes() == CONTENT
    whole = len(CONTENT) // 2 // CHUNK * CHUNK  # of what came, the client keeps whole chunks
    assert server.asked == [None, f"bytes={whole}-", f"bytes={whole}-"]


@pytest.mark.parametrize(
    ("happens", "message"),
    [
        ({"list": [401]}, "model mine/tiny may not be read with this token"),
        ({"info a.bin": [403]}, "a.bin of model mine/tiny may not be read with this token"),
        ({"a.bin": [401]}, "a.bin of model mine/tiny may not be read with this token"),
        ({"a.bin": [404]}, "has no a.bin of model mine/tiny"),
        ({"list": [429] * 9}, "refuses more requests at the moment (429), while model mine/tiny"),
        ({"a.bin": [429] * 9}, "refuses more requests at the moment (429), while a.bin of model mine/tiny"),
    ],
)
def test_what_cannot_be_had(hub, server, happens, message):
    server.repositories["mine/tiny"], server.happens = {"a.bin": b"w"}, happens
    with pytest.raises(TunesmithError) as raised:
        hub.fetch("mine/tiny", None)
    assert message in str(raised.value)


def test_wrong_checksum_and_revision_and_names(hub, server):
    server.repositories["mine/tiny"], server.tags = {"a.bin": b"w"}, {"a.bin": "0" * 64}
    for _ in range(2):  # the client would take what is in the cache
        with pytest.raises(TunesmithError, match=r"a\.bin of model mine/tiny is not what its checksum says"):
            hub.fetch("mine/tiny", None)
    with pytest.raises(TunesmithError, match="has no model mine/tiny, or not its revision v9"):
        hub.fetch("mine/tiny", "v9")
    with pytest.raises(TunesmithError, match="model mine/tiny on Modelers has no zh"):
        hub.fetch("mine/tiny/zh", None)


def test_without_server(hub, server):
    server.shutdown()
    server.server_close()
    with pytest.raises(TunesmithError, match="cannot be reached for model mine/tiny"):
        hub.fetch("mine/tiny", None)


def test_a_name():
    with pytest.raises(TunesmithError, match="'tiny' is not a name on Modelers"):
        Modelers().fetch("tiny", None)


def test_the_client_is_not_installed():
    program = (
        "import sys; sys.modules['openmind_hub'] = None\n"
        "from tunesmith_hub_modelers import Modelers\n"
        "try: Modelers().fetch('mine/tiny', None)\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert "TunesmithError model mine/tiny on Modelers needs the package openmind_hub" in done.stdout, done.stderr
    assert "pip install openmind-hub" in done.stdout
