"""What a request may have the server read: nothing that was not allowed, and no more than was."""

import base64
import contextlib
import ipaddress
import os
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
from tunesmith_command_api.errors import ApiError
from tunesmith_command_api.media import MediaPolicy, Part, load, parts_of
from tunesmith_library_engine.fetching import Allowed, Unfetchable, allows, fetch, is_public

PNG = b"\x89PNG\r\n\x1a\n and so on"
DATA = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"


def image(address):
    return Part("image", address, "messages[0].content[0]")


def one(address, **policy):
    (media,) = load([image(address)], MediaPolicy(**policy))
    return media.data


@pytest.mark.parametrize(
    ("part", "kind", "address"),
    [
        ({"type": "image_url", "image_url": {"url": DATA, "detail": "low"}}, "image", DATA),
        ({"type": "image_url", "image_url": DATA}, "image", DATA),
        ({"type": "input_image", "image_url": DATA}, "image", DATA),
        ({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}, "image",
         "data:image/png;base64,AA=="),
        ({"type": "image", "source": {"type": "url", "url": "https://a/b"}}, "image", "https://a/b"),
        ({"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}, "audio", "data:;base64,AA=="),
        ({"type": "video_url", "video_url": {"url": "file:///a"}}, "video", "file:///a"),
    ],
)  # fmt: skip
def test_parts_in_the_shapes_of_several_apis(part, kind, address):
    messages = [{"content": "text"}, {"content": [{"type": "text", "text": "x"}, part]}]
    assert list(parts_of(messages)) == [Part(kind, address, "messages[1].content[1]")]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url"},
        {"type": "image_url", "image_url": {}},
        {"type": "image_url", "image_url": {"url": ""}},
        {"type": "image_url", "image_url": 7},
        {"type": "file", "file": {"file_id": "x"}},
    ],
)
def test_parts_without_address(part):
    with pytest.raises(ApiError) as raised:
        list(parts_of([{"content": [part]}]))
    assert raised.value.status == 400 and raised.value.param == "messages[0].content[0]"


def test_data_urls():
    assert one(DATA) == PNG
    assert one("DATA:;base64,AA==") == b"\0"
    assert one("data:image/svg+xml;charset=utf-8,%3Csvg/%3E") == b"<svg/>"


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("data:image/png;base64", "comma"),
        ("data:text/html,<script>", "no image"),
        ("data:audio/wav;base64,AA==", "no image"),
        ("data:image/png;base64,A", "base64"),
        ("data:image/png;base64,A*==", "base64"),
        ("data:image/png;base64," + "A" * 200, "100 bytes"),
        ("data:image/png," + "a" * 101, "100 bytes"),
        ("data:image/png," + "%41" * 200, "100 bytes"),
    ],
)
def test_data_urls_that_are_none(address, said):
    with pytest.raises(ApiError, match=said) as raised:
        one(address, max_bytes=100)
    assert raised.value.status == 400


def test_too_many():
    parts = [image(DATA)] * 3
    assert len(load(parts, MediaPolicy(max_parts=3))) == 3
    with pytest.raises(ApiError, match="--max-media allows 2"):
        load(parts, MediaPolicy(max_parts=2))


@pytest.fixture
def folder(tmp_path):
    allowed = tmp_path / "media"
    (allowed / "deep").mkdir(parents=True)
    (tmp_path / "media-secret").mkdir()
    (tmp_path / "media-secret" / "key").write_bytes(b"secret")
    (allowed / "deep" / "ä b.png").write_bytes(PNG)
    (allowed / "out").symlink_to(tmp_path / "media-secret")
    (allowed / "in").symlink_to(allowed / "deep")
    (allowed / "circle").symlink_to(allowed / "circle")
    (allowed / "large").write_bytes(b"x" * 101)
    os.mkfifo(allowed / "pipe")
    return allowed


def test_files_of_an_allowed_folder(folder):
    for address in (
        f"{folder}/deep/ä b.png",
        f"file://{folder}/deep/%C3%A4%20b.png",
        f"file://localhost{folder}/in/ä b.png",
        f"{folder}/deep/../deep/ä b.png",
    ):
        assert one(address, folders=(folder,)) == PNG


def test_nothing_else_is_read_and_nothing_is_told_of_it(folder):
    outside = [
        f"{folder}/../media-secret/key",
        f"{folder}-secret/key",
        f"{folder}/out/key",
        f"{folder}/nothing",
        f"{folder}/circle",
        f"{folder}/pipe",
        f"{folder}",
        f"file://elsewhere{folder}/deep/ä b.png",
        "deep/ä b.png",
        "/etc/passwd",
        "/dev/zero",
        "ftp://localhost/x",
        f"{folder}/deep\0",
    ]
    for address in outside:
        with pytest.raises(ApiError, match="no file that this server may read") as raised:
            one(address, folders=(folder,))
        assert raised.value.code == "media_not_allowed"
    with pytest.raises(ApiError, match="no file that this server may read"):
        one(f"{folder}/deep/ä b.png")
    with pytest.raises(ApiError, match="more than 100 bytes"):
        one(f"{folder}/large", folders=(folder,), max_bytes=100)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2001:4860:4860::8888", True),
        ("127.0.0.1", False),
        ("0.0.0.0", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),  # where clouds keep credentials
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1", False),
        ("fd00::1", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:8.8.8.8", True),
        ("::127.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::808:808", True),
        ("2002:7f00:1::", False),
        ("2002:a9fe:a9fe::1", False),
    ],
)
def test_public_addresses(address, public):
    assert is_public(ipaddress.ip_address(address)) is public


@pytest.mark.parametrize(
    ("url", "hosts", "allowed"),
    [
        ("https://a.example/x", ["A.example"], True),
        ("https://A.EXAMPLE./x", ["a.example"], True),
        ("https://b.a.example/x", ["a.example"], False),
        ("https://b.a.example/x", ["*.a.example"], True),
        ("https://a.example/x", ["*.a.example"], False),
        ("https://bada.example/x", ["*.a.example"], False),
        ("https://any.example/x", ["*"], True),
        ("https://any.example:22/x", ["*"], False),
        ("https://a.example:8443/x", ["a.example"], False),
        ("https://a.example:8443/x", ["a.example:8443"], True),
        ("http://a.example/x", [], False),
    ],
)
def test_hosts(url, hosts, allowed):
    assert allows(hosts, urlsplit(url)) is allowed


class Pages(BaseHTTPRequestHandler):
    """A host that has a picture, sends elsewhere, is slow, or says nonsense."""

    def do_GET(self):
        port = self.server.server_port
        moved = {
            "/moved": "/picture",
            "/inside": f"http://127.0.0.2:{port}/picture",
            "/file": "file:///etc/passwd",
            "/circle": "/circle",
            "/user": f"http://me@127.0.0.1:{port}/picture",
        }
        if self.path in moved:
            self.send_response(302)
            self.send_header("location", moved[self.path])
            self.end_headers()
        elif self.path == "/slow":
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):  # the client does not wait so long
                for _ in range(40):
                    self.wfile.write(b"x")
                    self.wfile.flush()
                    time.sleep(0.05)
        elif self.path == "/large":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"x" * 5000)
        else:
            self.send_response(200 if self.path.startswith("/picture") else 404)
            self.end_headers()
            self.wfile.write(PNG)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def port():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_from_a_host(port):
    hosts = ["127.0.0.1", f"127.0.0.1:{port}", f"localhost:{port}"]
    for path in ("/picture", "/moved", "/picture?of=ä b"):
        assert fetch(f"http://127.0.0.1:{port}{path}", Allowed(hosts, 1000, 5.0)) == PNG
    assert one(f"http://127.0.0.1:{port}/picture", hosts=tuple(hosts)) == PNG


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/inside", "'127.0.0.2' may not be asked"),
        ("/file", "no address of http"),
        ("/user", "no address of http"),
        ("/circle", "from one address to another"),
        ("/slow", "longer than 0.3 seconds"),
        ("/large", "more than 1000 bytes"),
        ("/nothing", "404"),
    ],
)
def test_what_is_not_to_be_had_there(port, path, said):
    started = time.monotonic()
    with pytest.raises(Unfetchable, match=said):
        fetch(f"http://127.0.0.1:{port}{path}", Allowed(["127.0.0.1", f"127.0.0.1:{port}"], 1000, 0.3))
    assert time.monotonic() - started < 1.5


def test_a_name_that_points_inside_is_not_asked(port, monkeypatch):
    """As of a name that its owner lets point to an inner address, also where another of its addresses is public."""
    real = socket.getaddrinfo
    inner = real("127.0.0.1", port, type=socket.SOCK_STREAM)
    public = real("8.8.8.8", port, type=socket.SOCK_STREAM)
    asked = []
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: asked.append(1))
    for found in (inner, public + inner):
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, found=found, **__: found)
        with pytest.raises(Unfetchable, match=r"at 127\.0\.0\.1, which is no public address"):
            fetch(f"http://rebound.example:{port}/picture", Allowed([f"rebound.example:{port}"], 1000, 1.0))
    assert not asked


def test_a_name_is_resolved_once(port, monkeypatch):
    """A name that points elsewhere when it is asked for a second time gains nothing: nobody asks."""
    real, times = socket.getaddrinfo, []

    def turning(host, *rest, **more):
        times.append(host)
        return real("127.0.0.1" if host == "turning.example" else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", turning)
    hosts = [f"turning.example:{port}", "127.0.0.0/8"]
    assert fetch(f"http://turning.example:{port}/picture", Allowed(hosts, 1000, 5.0)) == PNG
    assert times.count("turning.example") == 1


def test_odd_addresses():
    for url in ("http://", "http://[::1", "http://a:99999/", "gopher://a/", "http://a b/", "http://a\r\nx: y/"):
        with pytest.raises(Unfetchable):
            fetch(url, Allowed(["*"], 1000, 0.2))
