"""The server: what it says of itself, its tools and its resources."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations
from tunesmith import TunesmithError, __version__
from tunesmith_library_studio import Studio

from . import looking, resources, working

_INSTRUCTIONS = """\
Tunesmith fine-tunes language models on this machine. A run is a folder, named by its path in the folder of runs. A
configuration is YAML (model.path, data.train, stage, adapter, trainer …): begin with recipes and show_recipe, find
options with plugins and plugin_options, try it with plan (it loads nothing), then train. Training, evaluation and
export are jobs: they answer at once, and go on when this server ends. Follow them with job, job_log, run_status and
curves, and leave some seconds between two looks. Paths lie in the workspace folder."""


def make_server(studio: Studio, read_only: bool) -> MCPServer[Any]:
    """The server of a workspace.

    Args:
        read_only: whether it has only tools that change nothing and start nothing.
    """
    server: MCPServer[Any] = MCPServer("tunesmith", title="Tunesmith", version=__version__, instructions=_INSTRUCTIONS,
                                       log_level="WARNING")  # fmt: skip
    for tool in looking.tools(studio):
        _add(server, tool, ToolAnnotations(read_only_hint=True, open_world_hint=False))
    for tool, destroys in [] if read_only else working.tools(studio):
        _add(server, tool, ToolAnnotations(read_only_hint=False, destructive_hint=destroys, open_world_hint=False))
    resources.add(server, studio)
    return server


def _add(server: MCPServer[Any], tool: Callable[..., Any], annotations: ToolAnnotations) -> None:
    """Offer a function, whose docstring is its description; what Tunesmith refuses is told as it stands."""

    @functools.wraps(tool)
    def told(*arguments: Any, **named: Any) -> Any:
        try:
            return tool(*arguments, **named)
        except TunesmithError as error:
            raise ToolError(str(error)) from error

    title = tool.__name__.replace("_", " ").capitalize()
    description = " ".join((tool.__doc__ or "").split())
    server.add_tool(told, title=title, description=description, annotations=annotations)
