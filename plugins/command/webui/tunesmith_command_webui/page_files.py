"""The files of the page: asked for anew each time, and sent only where they differ from what the browser has.

The modules of two versions never mix so. Their mark (ETag) is made of what is in a file: installers give files of all
versions the same time.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from pathlib import Path
from typing import Any

from fastapi import Request, Response
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.types import Scope

FOLDER = Path(__file__).parent / "page"

_INLINE = re.compile(r"<script type=\"importmap\">(.*?)</script>", re.DOTALL)


class PageFiles(StaticFiles):
    """The page's folder; `/` is its index.html."""

    def __init__(self, folder: Path = FOLDER) -> None:
        super().__init__(directory=folder, html=True)
        self._marks: dict[tuple[str, int, int], str] = {}

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        mark = self._mark(str(full_path), stat_result)
        response.headers["etag"] = mark
        response.headers["cache-control"] = "no-cache"
        del response.headers["last-modified"]
        if status_code == 200 and mark in Request(scope).headers.get("if-none-match", ""):
            return NotModifiedResponse(response.headers)
        return response

    def _mark(self, path: str, stat: os.stat_result) -> str:
        key = (path, stat.st_mtime_ns, stat.st_size)
        if key not in self._marks:
            self._marks[key] = f'"{hashlib.sha256(Path(path).read_bytes()).hexdigest()[:32]}"'
        return self._marks[key]


def policy(folder: Path = FOLDER) -> str:
    """The Content-Security-Policy: nothing from elsewhere, and no script but the page's own files."""
    found = _INLINE.search((folder / "index.html").read_text(encoding="utf-8"))
    digest = base64.b64encode(hashlib.sha256(found[1].encode() if found else b"").digest()).decode()
    rules: dict[str, Any] = {
        "default-src": "'self'",
        "script-src": f"'self' 'sha256-{digest}'",  # the import map, which no file can be
        "style-src": "'self'",
        "img-src": "'self' data: blob:",
        "media-src": "'self' data: blob:",
        "connect-src": "'self'",
        "object-src": "'none'",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
        "form-action": "'self'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())
