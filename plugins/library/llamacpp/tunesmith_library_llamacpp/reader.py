"""A GGUF file for the gate of exports: what llama.cpp computes with it, and what it makes of conversations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
from tunesmith import TunesmithError
from tunesmith.types import Sampling
from tunesmith_library_chat.messages import canonical, content_form
from tunesmith_library_proving.readers import Reader
from tunesmith_library_proving.texts import Text

from tunesmith_library_llamacpp.context import Context, Entry
from tunesmith_library_llamacpp.model import EVERY_LAYER, Model
from tunesmith_library_llamacpp.program import program
from tunesmith_library_llamacpp.sampling import Sampler

_SHORTEST = 512  # tokens that a context has room for, at least


class GGUFReader(Reader):
    """A file in llama.cpp, with keys and values in float32: it differs by what the file holds, and by nothing else.

    Args:
        path: of the model.
        adapter: a GGUF file with LoRA weights that are put over it.
        gpu_layers: how many layers a GPU computes.

    Raises: TunesmithError when llama-cpp-python is not installed, or llama.cpp refuses a file.
    """

    def __init__(
        self, path: Path, adapter: Path | None = None, *, threads: int | None = None, gpu_layers: int = EVERY_LAYER
    ) -> None:
        self.program, self._threads = program(), threads
        self._model = Model(path, gpu_layers=gpu_layers, checked=True)
        if not self._model.writes:
            raise TunesmithError(f"{path} is of a model that does not write, and answers cannot be compared")
        self._adapter = None if adapter is None else self._model.adapter(adapter)
        self._context: Context | None = None
        self._room = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the model go."""
        if self._context is not None:
            self._context.close()
        self._context, self._room = None, 0
        self._model.close()

    @property
    def metadata(self) -> dict[str, str]:
        """The file's metadata but lists, as text."""
        return self._model.metadata

    @property
    def end_tokens(self) -> frozenset[int]:
        """The tokens that end an answer in llama.cpp."""
        return self._model.end_tokens

    def logits(self, ids: Sequence[int]) -> torch.Tensor:
        return torch.from_numpy(self._roomy(len(ids)).all_logits(ids))

    def text(self, text: Text, prompt: bool) -> str | None:
        """By the file's own template, in the Jinja of llama-cpp-python."""
        from llama_cpp.llama_chat_format import Jinja2ChatFormatter

        named = "tool_use" if text.tools and self._model.template("tool_use") else None
        source = self._model.template(named)
        if source is None or not text.messages:
            return None
        turns = list(text.messages)
        if prompt:
            turns = turns[: next(at for at, turn in enumerate(turns) if turn["role"] == "user") + 1]
        form = content_form(source)
        messages: Any = [canonical(dict(turn), form) for turn in turns]
        tools: Any = list(text.tools) or None
        try:
            format_chat = Jinja2ChatFormatter(
                source, self._spelt("eos"), self._spelt("bos"), add_generation_prompt=prompt, stop_token_ids=None
            )
            return str(format_chat(messages=messages, tools=tools).prompt)
        except Exception as error:  # of Jinja, of the template's own, of Python's: all say that it does not write this
            raise TunesmithError(
                f"the template in {self._model.file.name} does not write a conversation: {error}"
            ) from (error)

    def tokens(self, text: str) -> list[int] | None:
        return self._model.tokens(text)

    def answer(self, ids: Sequence[int], count: int) -> list[int]:
        """By llama.cpp's own greedy sampling, each token from what it remembers of those before."""
        context = self._roomy(len(ids) + count)
        context.forget(0)
        sampler = Sampler(self._model, Sampling(temperature=0.0), ids, seed=0)
        found: list[int] = []
        for start in range(0, len(ids), context.batch):
            part = ids[start : start + context.batch]
            last = len(ids) - 1 - start
            context.decode([Entry(token, start + at, 0, at == last) for at, token in enumerate(part)])
        place = len(part) - 1
        for position in range(len(ids), len(ids) + count):
            found.append(sampler.choose(context, place))
            if len(found) < count:
                context.decode([Entry(found[-1], position, 0, True)])
                place = 0
        return found

    def _roomy(self, tokens: int) -> Context:
        """A context that has room for so many tokens."""
        if self._context is None or self._room < tokens:
            if self._context is not None:
                self._context.close()
            self._room = max(tokens, _SHORTEST)
            self._context = Context(self._model, tokens=self._room, threads=self._threads, cache="f32")
            self._context.adapt(self._adapter)
        return self._context

    def _spelt(self, name: str) -> str:
        """A special token as the file writes it; "" where it has none, as llama-cpp-python has it."""
        token = getattr(self._model.native, f"llama_vocab_{name}")(self._model.vocabulary)
        return self._model.spelling(token) if token >= 0 else ""
