"""What is printed, and where.

Results go to stdout. What a command reports on the way goes to stderr, but to stdout where the report is what the user
asked for, as in `train`: `tunesmith train x.yaml > log` catches it. Warnings and errors go to stderr. What libraries
say of themselves is not shown, unless `--debug` or `TUNESMITH_DEBUG=1` asks for all.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from dataclasses import dataclass, field
from typing import TextIO

from tunesmith.cli.languages import translate
from tunesmith.messages import logger
from tunesmith_library_configuration.secrets import hidden

_CHATTERERS = ("torchao", "bitsandbytes", "numexpr", "torch.utils._pytree")
"""Loggers of libraries that tell at import what they found, or what they will change."""

_DEVELOPERS = ("transformers", "peft", "accelerate", "datasets", "huggingface_hub", "torch", "torchao", "bitsandbytes")
"""Libraries that announce future changes to whoever calls them, which a user of the command line does not."""

_NO_BARS = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "TQDM_DISABLE": "1"}
_LATE_BARS = {"TQDM_DELAY": "3"}  # seconds: a download gets its bar, what is done at once gets none


_FRAMES = {"WARNING": "warning: …", "ERROR": "error: …", "CRITICAL": "critical: …"}
MESSAGES = ("warning: …", "error: …", "critical: …", "…: …", "…; …", "…, …", "command line", "… (wraps)")


def say(text: str = "", err: bool = False) -> None:
    """Print what a command tells the user, in the user's language.

    For words of ours alone. What programs read, and what models and data say, is printed by `click.echo`.

    Args:
        err: to stderr: what is not the result.
    """
    import click

    click.echo(translate(text), err=err)


def framed(frame: str, message: str) -> str:
    """A message, in the user's language already, where a frame such as `error: …` has its dots."""
    return translate(frame).replace("…", message, 1)


@dataclass
class Output:
    """How much the user wants to see; lives as long as the command."""

    debug: bool = False
    quiet: bool = False
    _defaults: dict[str, str] = field(default_factory=dict)  # what was put into the environment

    def apply(self) -> None:
        """Set up logging, and the libraries that are to be imported. May be called again when more is known."""
        level = logging.WARNING if self.quiet else logging.INFO
        logger.setLevel(level if os.environ.get("RANK", "0") == "0" else logging.ERROR)
        logger.handlers[:] = [_handler("stderr", logging.WARNING), _handler("stderr", logging.NOTSET, logging.WARNING)]
        logger.propagate = False
        for name in self._defaults:
            os.environ.pop(name, None)
        self._defaults = {} if self.debug else self._wanted()
        os.environ.update(self._defaults)
        for name in _CHATTERERS:
            logging.getLogger(name).setLevel(logging.NOTSET if self.debug else logging.ERROR)
        if not (self.debug or sys.warnoptions):
            for name in _DEVELOPERS:
                warnings.filterwarnings("ignore", category=FutureWarning, module=rf"{name}(\.|$)")

    def undo(self) -> None:
        """Leave logging and environment as they were: the process may go on, as that of a test does."""
        logger.setLevel(logging.NOTSET)
        logger.handlers.clear()
        logger.propagate = True
        for name in self._defaults:
            os.environ.pop(name, None)

    def _wanted(self) -> dict[str, str]:
        """The environment that quietens libraries, as far as the user says nothing else."""
        bars = _LATE_BARS if sys.stderr.isatty() and not self.quiet else _NO_BARS
        verbosity = {"TRANSFORMERS_VERBOSITY": "error", "DATASETS_VERBOSITY": "error"} if self.quiet else {}
        return {name: value for name, value in {**bars, **verbosity}.items() if name not in os.environ}


class _Handler(logging.Handler):
    """Writes to what `sys.stdout` or `sys.stderr` is at the time, which a progress bar replaces while it is drawn."""

    def __init__(self, stream: str) -> None:
        super().__init__()
        self.stream_name = stream

    def emit(self, record: logging.LogRecord) -> None:
        stream: TextIO = getattr(sys, self.stream_name)
        try:
            stream.write(f"{self.format(record)}\n")
            stream.flush()
        except BrokenPipeError:  # whoever reads has gone: the command ends, and says so by its code
            raise
        except Exception:
            self.handleError(record)


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        message = translate(hidden(super().format(record)))
        frame = _FRAMES.get(record.levelname) if record.levelno >= logging.WARNING else None
        return framed(frame, message) if frame else message


def _handler(stream: str, low: int, high: int | None = None) -> _Handler:
    """A handler of the levels from `low` to below `high`."""
    handler = _Handler(stream)
    handler.setLevel(low)
    handler.setFormatter(_Formatter())
    if high is not None:
        handler.addFilter(lambda record: record.levelno < high)
    return handler


def report_to_stdout() -> None:
    """From now on what is announced goes to stdout: for a command whose report is what the user asked for."""
    for handler in logger.handlers:
        if isinstance(handler, _Handler) and handler.level < logging.WARNING:
            handler.stream_name = "stdout"
