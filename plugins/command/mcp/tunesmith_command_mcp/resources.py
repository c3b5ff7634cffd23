"""What can be read of a run as it stands: its configuration, log, what it logged, and all runs as a list."""

from __future__ import annotations

import json
from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ResourceNotFoundError
from tunesmith import TunesmithError
from tunesmith_library_studio import Studio

_POINTS = 500  # of a curve


def add(server: MCPServer[Any], studio: Studio) -> None:
    """Offer them; a run's name stands in the address with `/` written as `%2F`."""

    @server.resource("tunesmith://runs", name="runs", mime_type="application/json")
    def runs() -> str:
        """All runs: name, state, stage, model, last loss."""
        return json.dumps(studio.runs.rows(), default=str, ensure_ascii=False)

    @server.resource("tunesmith://runs/{run}/configuration", name="configuration", mime_type="application/yaml")
    def configuration(run: str) -> str:
        """A run's resolved configuration."""
        return _text(lambda: (studio.runs.folder(run) / "run.yaml").read_text(encoding="utf-8"))

    @server.resource("tunesmith://runs/{run}/log", name="log", mime_type="text/plain")
    def log(run: str) -> str:
        """The end of what a run printed."""
        return _text(lambda: "\n".join(str(_line(line)) for line in studio.watching.log(run)["lines"]))

    @server.resource("tunesmith://runs/{run}/metrics", name="metrics", mime_type="application/json")
    def metrics(run: str) -> str:
        """What a run logged, thinned out to 500 points a curve."""
        from tunesmith_library_studio.watching.curves import View

        return _text(lambda: json.dumps(studio.curves.of(run, View(points=_POINTS)), ensure_ascii=False))


def _line(line: Any) -> Any:
    return line.get("text", line) if isinstance(line, dict) else line


def _text(read: Any) -> str:
    try:
        return str(read())
    except (TunesmithError, OSError) as error:
        raise ResourceNotFoundError(str(error)) from error
