"""The address of a service: whether it is one, and what it says of who asks."""

from __future__ import annotations

import base64
import re
from urllib.parse import unquote, urlsplit

_REMEMBERED = "'http://user:${oc.env:PASSWORD}@host/score'"


def fault(url: str) -> tuple[str, str]:
    """What is wrong with an address, without what may be a password in it, and what to write; ("", "") for nothing."""
    example = "for example: http://localhost:8080/score"
    try:
        parts = urlsplit(url)
        is_one = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_one = False
    if not is_one or not url.isascii() or re.search(r"[\s\0-\x1f\x7f]", url):
        special = "\nothers than letters, digits and -._~ are written as %40 within names and passwords"
        return "is no address of a service.", example + (special if "@" in url or "%" in url else "")
    user, at, _ = parts.netloc.rpartition("@")
    if at and re.search(r"[@'\"]", user):
        return "has a password with one of @'\" in it.", "write them as %40, %27 and %22"
    if at and not (parts.username and parts.password):
        message = "names somebody without a password; the record of a run does not keep one."
        return message, f"take it from the environment: reward.http.url={_REMEMBERED}; for a token: reward.http.headers"
    return "", ""


def without_user(url: str) -> str:
    """The address as it is asked."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def authorization(url: str) -> dict[str, str]:
    """The header that `user:password@` of an address stands for (RFC 7617); {} where it has none."""
    parts = urlsplit(url)
    if parts.username is None or parts.password is None:
        return {}
    said = f"{unquote(parts.username)}:{unquote(parts.password)}".encode()
    return {"Authorization": f"Basic {base64.b64encode(said).decode()}"}
