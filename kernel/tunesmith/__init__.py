"""Tunesmith fine-tunes language models. This package is the kernel: it knows plugins and configuration, not torch.

tunesmith.train("conf/sft_lora.yaml", {"adapter.rank": 16})
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunesmith.errors import DataError as DataError
    from tunesmith.errors import TunesmithError as TunesmithError
    from tunesmith.estimating import estimate as estimate
    from tunesmith.hookspecs import hookimpl as hookimpl
    from tunesmith.messages import announce as announce
    from tunesmith.options import plugin as plugin
    from tunesmith.pipeline import ChatSession as ChatSession
    from tunesmith.pipeline import chat as chat
    from tunesmith.pipeline import evaluate as evaluate
    from tunesmith.pipeline import export as export
    from tunesmith.pipeline import open_model as open_model
    from tunesmith.pipeline import plan as plan
    from tunesmith.pipeline import show as show
    from tunesmith.pipeline import train as train

__version__ = "0.1.0"

_HOME = {
    "ChatSession": "pipeline",
    "DataError": "errors",
    "TunesmithError": "errors",
    "announce": "messages",
    "chat": "pipeline",
    "estimate": "estimating",
    "evaluate": "pipeline",
    "export": "pipeline",
    "hookimpl": "hookspecs",
    "open_model": "pipeline",
    "plan": "pipeline",
    "plugin": "options",
    "show": "pipeline",
    "train": "pipeline",
}
__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    """Import on first use, so that `import tunesmith` and `tunesmith --help` stay quick."""
    if name not in _HOME:
        raise AttributeError(f"module 'tunesmith' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"tunesmith.{_HOME[name]}"), name)
    globals()[name] = value
    return value
