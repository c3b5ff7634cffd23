"""Tunesmith fine-tunes language models. This package is the kernel: it knows plugins and configuration, not torch.

tunesmith.train("conf/sft_lora.yaml", {"adapter.rank": 16})
"""

import importlib

__version__ = "0.1.0"

_HOMES = {
    "tunesmith.errors": ("DataError", "TunesmithError"),
    "tunesmith.hookspecs": ("hookimpl",),
    "tunesmith.messages": ("announce",),
    "tunesmith.options": ("plugin",),
    "tunesmith.pipeline": ("export", "exports", "open_model", "plan", "train"),
    "tunesmith_command_api.server": ("Server",),
    "tunesmith_command_data.encoded": ("show",),
    "tunesmith_library_engine.sessions": ("ChatSession", "chat"),
    "tunesmith_library_estimates.estimating": ("estimate",),
    "tunesmith_library_evaluating.measuring": ("evaluate", "measuring"),
    "tunesmith_library_launching.lines": ("launch_lines",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}
__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> object:
    """Import on first use, so that `import tunesmith` and `tunesmith --help` stay quick.

    Raises: PluginError for a name that is in a library of its own, which is not installed.
    """
    if name not in _HOME:
        raise AttributeError(f"module 'tunesmith' has no attribute {name!r}")
    library = _HOME[name].partition(".")[0]
    try:
        value = getattr(importlib.import_module(_HOME[name]), name)
    except ModuleNotFoundError as error:
        if error.name != library:
            raise
        from tunesmith.errors import PluginError

        advice = f"pip install {library.replace('_', '-')}"
        raise PluginError(f"tunesmith.{name} is in a library that is not installed.\n{advice}") from error
    globals()[name] = value
    return value
