"""Object stores: fetching from a store in memory that cuts, refuses and lies.

Where the real client of S3 is installed, it is tried against a server that speaks its protocol.
"""

import hashlib
import os
import socket
import subprocess
import sys
import threading
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import fsspec
import pytest
from tunesmith import TunesmithError
from tunesmith_hub_s3 import S3, GoogleStorage, fetching
from tunesmith_library_testing import HubSuite

CONTENT = bytes(range(256)) * 8000


class Memory:
    """A store of objects by path, and what happens to the next requests of one: an error, or after how many bytes."""

    def __init__(self):
        self.objects, self.happens, self.tags, self.starts = {}, {}, {}, []

    def find(self, address, detail):
        self._trouble("list")
        found = {path: content for path, content in self.objects.items() if f"{path}/".startswith(f"{address}/")}
        if not found:
            raise FileNotFoundError(address)
        return {
            path: {"size": len(content), "ETag": f'"{self.tags.get(path, hashlib.md5(content).hexdigest())}"'}
            for path, content in found.items()
        }

    def open(self, path, mode, cache_type):
        return Source(self.objects[path], self._trouble(path), self.starts)

    def _trouble(self, path):
        happens = self.happens.get(path, [])
        happens = happens.pop(0) if happens else None
        if isinstance(happens, Exception):
            raise happens
        return happens


class Source:
    """The content of an object; it is cut after so many bytes."""

    def __init__(self, content, cut, starts):
        self.content, self.cut, self.at, self.starts = content, cut, 0, starts

    def __enter__(self):
        return self

    def __exit__(self, *arguments):
        pass

    def seek(self, start):
        self.starts.append(start)
        self.at, self.cut = start, self.cut and start + self.cut

    def read(self, size):
        if self.cut is not None and self.at >= self.cut:
            raise ConnectionResetError("the connection was cut")
        end = min(self.at + size, len(self.content) if self.cut is None else self.cut)
        made, self.at = self.content[self.at : end], end
        return made


@pytest.fixture
def store(tmp_path, monkeypatch):
    made = Memory()
    monkeypatch.setattr(fsspec, "filesystem", lambda scheme, **options: made)
    monkeypatch.setattr(fetching, "_PAUSE", 0.0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return made


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("plugin_class", [S3, GoogleStorage])
class TestStores(HubSuite):
    plugin = S3
    missing = "bucket/nothing"

    @pytest.fixture(autouse=True)
    def of_class(self, plugin_class, monkeypatch):
        monkeypatch.setattr(type(self), "plugin", plugin_class)

    @pytest.fixture
    def publish(self, store):
        def publish(folder):
            for name in names(folder):
                store.objects[f"bucket/tiny/{name}"] = (folder / name).read_bytes()
            return "bucket/tiny"

        return publish


def test_what_is_fetched(store):
    store.objects = {"b/set/a.jsonl": b"1", "b/set/deep/c.jsonl": b"2", "b/settee/x": b"3"}
    folder = S3().fetch("b/set", None)
    assert (folder.name, names(folder)) == ("set", ["a.jsonl", "deep/c.jsonl"])
    file = S3().fetch("b/set/a.jsonl", None)
    assert file.name == "a.jsonl" and file.read_bytes() == b"1"
    assert len(store.starts) == 2, "the file is not downloaded again"
    store.objects = {"b/set/a.jsonl": b"changed"}
    folder = S3().fetch("b/set/", None)
    assert names(folder) == ["a.jsonl"], "what is gone from the store is gone"
    assert (folder / "a.jsonl").read_bytes() == b"changed"


def test_a_cut_download_goes_on(store, caplog):
    store.objects["b/a"] = CONTENT
    store.happens["b/a"] = [1_500_000, OSError("429 Too Many Requests"), 300_000]
    assert S3().fetch("b/a", None).read_bytes() == CONTENT
    assert store.starts == [0, 1_500_000, 1_800_000]
    assert "429 Too Many Requests; it goes on" in caplog.text


@pytest.mark.parametrize(
    ("where", "error", "message"),
    [
        ("list", PermissionError("Forbidden"), "s3://b/a may not be read: Forbidden\n  set AWS_ACCESS_KEY_ID"),
        ("b/a", PermissionError("401"), "s3://b/a may not be read: 401"),
        ("b/a", FileNotFoundError("404"), "there is nothing at s3://b/a: 404"),
        ("b/a", OSError("429 Slow Down"), "s3://b/a could not be fetched: 429 Slow Down"),
        ("list", RuntimeError("Unable to locate credentials"), "could not be fetched: Unable to locate credentials"),
    ],
)
def test_what_cannot_be_had(store, where, error, message):
    store.objects["b/a"] = b"x"
    store.happens[where] = [error] * 9
    with pytest.raises(TunesmithError) as raised:
        S3().fetch("b/a", None)
    assert message in str(raised.value)


def test_wrong_checksum(store):
    store.objects["b/a"], store.tags["b/a"] = CONTENT, "0" * 32
    with pytest.raises(TunesmithError, match="s3://b/a is not what its checksum says: MD5 0000"):
        S3().fetch("b/a", None)
    assert store.starts == [0, 0], "once more from the start"
    store.tags["b/a"] = f"{'0' * 32}-2"  # of an upload in parts
    assert S3().fetch("b/a", None).read_bytes() == CONTENT


def test_a_client_that_is_not_installed():
    """Without s3fs and gcsfs, whatever is installed here."""
    program = (
        "import sys; sys.modules.update(s3fs=None, gcsfs=None)\n"
        "from tunesmith_hub_s3 import S3, GoogleStorage\n"
        "for one in (S3, GoogleStorage):\n"
        "    try: one().fetch('b/a', None)\n"
        "    except Exception as error: print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    for scheme, package in (("s3", "s3fs"), ("gs", "gcsfs")):
        assert f"TunesmithError {scheme}://b/a needs the package {package}" in done.stdout, done.stderr
        assert f"pip install {package}" in done.stdout


class Handler(BaseHTTPRequestHandler):
    """S3's answers for `server.objects`: bucket/key -> content."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        parts = urlsplit(self.path)
        query, path = parse_qs(parts.query), unquote(parts.path).strip("/")
        if "list-type" in query:
            return self.listing(path, query.get("prefix", [""])[0])
        self.server.asked.append((self.command, path, self.headers.get("Range")))
        happens = self.server.happens.get(path, [])
        status = happens.pop(0) if happens and self.command == "GET" else None
        if isinstance(status, int):
            return self.reply(status, f"<Error><Code>E{status}</Code><Message>no</Message></Error>".encode())
        if path not in self.server.objects:
            return self.reply(404, b"<Error><Code>NoSuchKey</Code><Message>no such key</Message></Error>")
        content = self.server.objects[path]
        start, _, end = (self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").partition("-")
        piece = content[int(start) : int(end) + 1 if end else None]
        about = {"ETag": f'"{self.tag(path)}"', "Last-Modified": formatdate(0, usegmt=True)}
        if self.headers.get("Range"):
            about["Content-Range"] = f"bytes {start}-{int(start) + len(piece) - 1}/{len(content)}"
        self.reply(206 if self.headers.get("Range") else 200, piece, about, cut=status == "cut")

    def tag(self, path):
        return self.server.tags.get(path, hashlib.md5(self.server.objects[path]).hexdigest())

    def listing(self, bucket, prefix):
        if self.server.closed:
            return self.reply(403, b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>")
        found = "".join(
            f"<Contents><Key>{escape(path.partition('/')[2])}</Key><Size>{len(content)}</Size>"
            f"<ETag>&quot;{self.tag(path)}&quot;</ETag><LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for path, content in sorted(self.server.objects.items())
            if path.startswith(f"{bucket}/{prefix}")
        )
        self.reply(200, f"<ListBucketResult><Name>{bucket}</Name>{found}</ListBucketResult>".encode())

    def reply(self, status, content, headers=None, cut=False):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if cut else content)
        if cut:
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    pytest.importorskip("s3fs")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.objects, server.happens, server.tags, server.asked, server.closed = {}, {}, {}, [], False
    server.hub = S3(endpoint=f"http://127.0.0.1:{server.server_address[1]}", cache_dir=str(tmp_path / "cache"))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setattr(fetching, "_PAUSE", 0.0)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    yield server
    server.shutdown()
    server.server_close()


def test_the_protocol_of_s3(server):
    server.objects = {"b/set/train.jsonl": CONTENT, "b/set/deep/a.json": b"[]", "b/other": b"x"}
    server.happens["b/set/train.jsonl"] = ["cut", 503]
    folder = server.hub.fetch("b/set", None)
    assert names(folder) == ["deep/a.json", "train.jsonl"]
    assert (folder / "train.jsonl").read_bytes() == CONTENT
    assert server.hub.fetch("b/set/deep/a.json", None).read_bytes() == b"[]"


def test_the_refusals_of_s3(server):
    server.objects = {"b/a": CONTENT}
    server.tags["b/a"] = "0" * 32
    with pytest.raises(TunesmithError, match="s3://b/a is not what its checksum says"):
        server.hub.fetch("b/a", None)
    with pytest.raises(TunesmithError, match="there is nothing at s3://b/nothing"):
        server.hub.fetch("b/nothing", None)
    server.closed = True
    with pytest.raises(TunesmithError, match="s3://b/a may not be read"):
        server.hub.fetch("b/a", None)
