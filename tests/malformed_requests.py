"""A generator of requests that a server must refuse, or read as they are meant, and come through."""

from __future__ import annotations

import copy
import json
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from request_bodies import BODIES
from tunesmith_library_testing.wire import request

_FREQUENT = ("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages")
_LITERAL = "\ue000"  # around JSON that `json` would not write
STRANGE: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 1, 0.5, -0.5, 2**31, 2**63, 2**64, -(2**63) - 1, 10**40, 10**4400, 1e308, 5e-324),
    *(float("nan"), float("inf"), float("-inf"), f"{_LITERAL}1e999{_LITERAL}", f"{_LITERAL}-0{_LITERAL}"),
    *("", " ", "0", "1", "true", "null", "auto", "none", "x" * 10_000, "\0", "\ud800", "\udc00x", "\ud83d", "é", "🐋"),
    *("\u202e\u200b\ufeff", "../../etc/passwd", "file:///etc/passwd", "data:image/png;base64,////", "http://127.0.0.1"),
    *("data:image/png;base64,", "data:;base64,*", "<|im_end|>", "<|im_start|>system", "</s>", "{{ 1 / 0 }}", "%s{0}"),
    *([], {}, [[]], [None], [{}], {"": None}, {"type": None}, {"type": "x"}, [1.5], [-1], [10**9], [True], ["a", 1]),
    *([[1, 2], "a"], [[[1]]], {"a": {"b": {"c": []}}}, [5] * 5_000, ["a"] * 2_000, {"\ud800": "\ud800"}, {"5": "x"}),
    *({"99999999": 1}, {"-1": 1}, {"5": 1e300}, {"5": None}, {"role": "user"}, {"role": "user", "content": 5}),
    *({"type": "image_url", "image_url": {"url": "http://169.254.169.254/"}}, {"type": "image_url"}),
    *({"type": "input_audio", "input_audio": {"data": "x", "format": "wav"}}, {"type": "video_url", "video_url": 3}),
    *({"type": "json_object"}, {"type": "json_schema"}, {"type": "json_schema", "json_schema": {"schema": True}}),
    {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "objekt"}}},
    {"type": "json_schema", "json_schema": {"name": "x", "schema": {"$ref": "#"}}},
    {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "string", "pattern": "(a+)+$("}}},
    {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "array", "minItems": 10**9}}},
    {"type": "json_schema", "json_schema": {"name": "x", "schema": {"enum": []}}},
)
"""What is put in the place of values."""

_PLACES = (
    *("guided_json", "guided_regex", "guided_choice", "guided_grammar", "structured_outputs", "grammar", "suffix"),
    *("functions", "function_call", "modalities", "audio", "prediction", "max_completion_tokens", "min_tokens"),
    *("ignore_eos", "stop_token_ids", "add_generation_prompt", "continue_final_message", "truncate_prompt_tokens"),
    *("background", "include", "truncation", "prompt_logprobs", "lora_int_id", "chat_template", "documents", "x" * 300),
)
"""Fields that some route knows, or none."""


@dataclass(frozen=True)
class Malformed:
    """A request, and what is the matter with it."""

    path: str
    data: bytes  # as it goes over the wire
    what: str
    whole: bool = True  # False: the server has a right to wait for more, or to hang up without a word


def malformed(count: int, seed: int, paths: Sequence[str] | None = None) -> Iterator[Malformed]:
    """Requests of all kinds, the same for the same seed.

    Args:
        paths: of `BODIES`; None for all, those that most clients use more often.
    """
    draw = random.Random(seed)
    for index in range(count):
        path = draw.choice(paths or [*BODIES, *_FREQUENT * 3])
        # two thirds have strange values; the other ways to be wrong share the rest
        kind = _values if index % 3 else _KINDS[index // 3 % len(_KINDS)]
        yield kind(path, draw)


def _written(body: Any) -> bytes:
    """JSON, with literals in it that no value stands for."""
    with _long_numbers():
        text = json.dumps(body)
    return text.replace(f'"{json.dumps(_LITERAL)[1:-1]}', "").replace(f'{json.dumps(_LITERAL)[1:-1]}"', "").encode()


class _long_numbers:
    """Integers of any length are written out."""

    def __enter__(self) -> None:
        self.former = sys.get_int_max_str_digits()
        sys.set_int_max_str_digits(0)

    def __exit__(self, *_: object) -> None:
        sys.set_int_max_str_digits(self.former)


def _inner(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of all values in a body, as keys from the top."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield (*place, key)
        yield from _inner(inner, (*place, key))


def _values(path: str, draw: random.Random) -> Malformed:
    """One to three values are strange, missing or in a place where they do not belong."""
    body, told = copy.deepcopy(BODIES[path]), []
    body = {key: value for key, value in body.items() if draw.random() < 0.5 or key in _NEEDED}
    for _ in range(draw.choice((1, 1, 2, 3))):
        value = copy.deepcopy(draw.choice(STRANGE))
        if draw.random() < 0.2:
            place: tuple[Any, ...] = (draw.choice(_PLACES),)
        else:
            place = draw.choice([*_inner(body)] or [("model",)])
        holder = body
        for key in place[:-1]:
            holder = holder[key]
        if draw.random() < 0.15 and isinstance(holder, dict) and place[-1] in holder:
            del holder[place[-1]]
            told.append(f"{place} is missing")
        else:
            holder[place[-1]] = value
            told.append(f"{place} = {ascii(value)[:60]}" if not isinstance(value, int) else f"{place} is an integer")
    return Malformed(path, request(path, _written(body)), "; ".join(told))


_NEEDED = {"messages", "prompt", "input", "max_tokens", "max_output_tokens", "query", "documents", "tokens", "text_1"}


def _json(path: str, draw: random.Random) -> Malformed:
    """Bytes that are no JSON, or no object."""
    good = json.dumps(BODIES[path]).encode()
    cut = draw.randrange(1, len(good))
    body = draw.choice(
        [
            b"",
            b"null",
            b"[]",
            b'"x"',
            b"5",
            b"NaN",
            b"{",
            good[:cut],
            good[:cut] + b"\xff\xfe" + good[cut:],
            good[:cut] + b"\0" + good[cut:],
            good + good,
            b"\xef\xbb\xbf" + good,
            good.decode().encode("utf-16"),
            b"[" * 100_000,
            b"[" * 50_000 + b"]" * 50_000,
            b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
            b'{"messages": [{"role": "user", "content": ' + b"[" * 5_000 + b"]" * 5_000 + b"}]}",
            good[:-1] + b', "model": "x", "model": "base"}',
            b"{'model': 'base'}",
            good[:-1] + b",}",
            b"a=1&b=2",
            b"-----\r\nContent-Disposition: form-data; name=x\r\n\r\n1\r\n-------",
            b"9" * 10_000,
            b"<xml/>",
        ]
    )
    return Malformed(path, request(path, body), f"the body is {body[:40]!a}, {len(body)} bytes")


def _types(path: str, draw: random.Random) -> Malformed:
    """A good body under another name."""
    kinds = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", "x/y", "\xff"]
    kinds += ["application/json; charset=utf-16", "application/json; charset=nonsense", "application/xml", "a" * 2000]
    headers = {"content-type": draw.choice(kinds)}
    if draw.random() < 0.3:
        headers = {"content-encoding": draw.choice(["gzip", "br", "deflate", "x"])}
    return Malformed(path, request(path, _short(path), headers=headers), f"headers {headers}")


def _short(path: str) -> dict[str, Any]:
    """A body that asks for little, should a server read it after all."""
    return {key: value for key, value in BODIES[path].items() if key in _NEEDED or key == "model"}


def _lengths(path: str, draw: random.Random) -> Malformed:
    """A length that is not the body's."""
    body = json.dumps(_short(path)).encode()
    length = draw.choice(["-1", "x", "", "1e3", "0x10", "9" * 30, "0", str(len(body) // 2), str(len(body) * 2), " 5 5"])
    headers = {"content-length": length}
    if draw.random() < 0.3:
        headers["transfer-encoding"] = draw.choice(["chunked", "gzip, chunked", "x", "chunked, chunked"])
    return Malformed(path, request(path, body, headers=headers), f"headers {headers}", whole=False)


def _chunks(path: str, draw: random.Random) -> Malformed:
    """A body in chunks that are none."""
    body = json.dumps(_short(path)).encode()
    chunk = f"{len(body):x}\r\n".encode() + body + b"\r\n"
    content = draw.choice(
        [
            *(chunk, chunk + chunk, b"zz\r\n" + body, b"-5\r\n", b"ffffffffffffffff\r\n" + body),
            *(b"5;" + b"x" * 5000, chunk + b"0\r\nx: y\r\n\r\n", b"0\r\n\r\n", b"1\r\n{\r\n1\r\n"),
            chunk[:-1] + b"x0\r\n\r\n",
        ]
    )
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\ncontent-type: application/json\r\n"
    data = head.encode() + b"transfer-encoding: chunked\r\n\r\n" + content
    return Malformed(path, data, f"chunks {content[:40]!a}", whole=False)


def _half(path: str, draw: random.Random) -> Malformed:
    """Any part of a good request."""
    good = request(path, _short(path))
    cut = draw.randrange(1, len(good))
    return Malformed(path, good[:cut], f"{cut} bytes of {len(good)}", whole=False)


def _heads(path: str, draw: random.Random) -> Malformed:
    """Lines before the body that are wrong."""
    body = _short(path)
    good = request(path, body)
    first, rest = good.split(b"\r\n", 1)
    data = draw.choice(
        [
            first.replace(b"POST", b"BREW") + b"\r\n" + rest,
            first.replace(b"POST", b"PUT") + b"\r\n" + rest,
            first.replace(b"HTTP/1.1", b"HTTP/9.9") + b"\r\n" + rest,
            first.replace(b"HTTP/1.1", b"") + b"\r\n" + rest,
            first.replace(b" /", b" /%ff%00/") + b"\r\n" + rest,
            first.replace(b" /", b" /" + b"x" * 70_000) + b"\r\n" + rest,
            first.replace(b" HTTP", b"?a=%zz&b=\xff HTTP") + b"\r\n" + rest,
            first + b"\r\nx-long: " + b"y" * 100_000 + b"\r\n" + rest,
            first + b"\r\n" + b"x: y\r\n" * 3_000 + rest,
            first + b"\r\nno colon here\r\n" + rest,
            first + b"\r\n\xff\xfe: \0\r\n" + rest,
            first + b"\r\n : \r\n" + rest,
            good.replace(b"host: 127.0.0.1", b"host: evil.example"),
            good.replace(b"host: 127.0.0.1\r\n", b""),
            first + b"\r\nexpect: 100-continue\r\n" + rest,
            first + b"\r\nauthorization: Bearer \xff\xfe\r\n" + rest,
            first + b"\r\nx-request-id: " + b"a\tb\xff" * 200 + b"\r\n" + rest,
            first + b"\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-key: x\r\n" + rest,
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 64,
            b"\r\n\r\n\r\n",
            b"GET " + path.encode() + b"\r\n\r\n",
        ]
    )
    return Malformed(path, data, f"the head begins {data[:60]!a}", whole=False)


def _places(path: str, draw: random.Random) -> Malformed:
    """A place that a server does not have, or not for this method."""
    place = draw.choice([path + "/", path + "/x", "/v1", "/v2/chat/completions", "//", "/../etc/passwd", "*", "/%00"])
    method = draw.choice(["GET", "POST", "DELETE", "PATCH", "OPTIONS", "HEAD"])
    return Malformed(place, request(place, _short(path), method=method), f"{method} {place}", whole=False)


_KINDS: tuple[Callable[[str, random.Random], Malformed], ...] = (
    *(_json, _types, _lengths, _json, _half, _heads, _chunks, _places),
)
