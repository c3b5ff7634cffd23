"""The programs that serve what is exported: onnxruntime-genai for a model that writes, onnxruntime for any other."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy
import onnxruntime
import torch
from tunesmith import TunesmithError
from tunesmith_library_proving.readers import ModelReader
from tunesmith_library_proving.texts import Text

from .building import GRAPH

_ERRORS_ONLY = 3  # of onnxruntime's levels of severity


@contextlib.contextmanager
def _told(program: str) -> Iterator[None]:
    """Turn what a program says into an error of the export."""
    try:
        yield
    except Exception as error:
        cause = f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"
        raise TunesmithError(f"{program} cannot run what was written: {cause}") from error


class GenaiReader(ModelReader):
    """A folder in onnxruntime-genai: its graph, its cache, its tokenizer; conversations are written by transformers.

    Args:
        processor: the folder's tokenizer, as transformers reads it.

    Raises: TunesmithError when it cannot be loaded.
    """

    def __init__(self, folder: Path, processor: Any = None) -> None:
        self.processor = processor
        import onnxruntime_genai

        self._genai: Any = onnxruntime_genai
        self.program = f"onnxruntime-genai {onnxruntime_genai.__version__}"
        with _told(self.program):
            config = self._genai.Config(str(folder))
            config.clear_providers()  # whatever it is written for, it is proven on the CPU
            self._model = self._genai.Model(config)
            self._tokenizer = self._genai.Tokenizer(self._model)

    def logits(self, ids: Sequence[int]) -> torch.Tensor:
        with _told(self.program):
            said = numpy.asarray(self._generator(ids, 1).get_output("logits"), dtype=numpy.float32)
        return torch.from_numpy(said)[0]

    def answer(self, ids: Sequence[int], count: int) -> list[int]:
        """As it is served: with the cache, and up to what ends an answer."""
        found = list[int]()
        with _told(self.program):
            generator = self._generator(ids, count)
            while len(found) < count and not generator.is_done():
                generator.generate_next_token()
                found.append(int(generator.get_next_tokens()[0]))
        return found

    def tokens(self, text: str) -> list[int] | None:
        return [int(token) for token in self._tokenizer.encode(text)]

    def own_text(self, text: Text, prompt: bool) -> str:
        """A conversation as the program's own engine for templates writes it, which knows a part of Jinja.

        Raises: TunesmithError when the template is none for it.
        """
        turns = list(text.messages)
        if prompt:
            turns = turns[: next(at for at, turn in enumerate(turns) if turn["role"] == "user") + 1]
        tools = json.dumps(list(text.tools), ensure_ascii=False) if text.tools else None
        options: dict[str, Any] = {"add_generation_prompt": prompt, **({"tools": tools} if tools else {})}
        with _told(self.program):
            return str(self._tokenizer.apply_chat_template(json.dumps(turns, ensure_ascii=False), **options))

    def _generator(self, ids: Sequence[int], more: int) -> Any:
        """A generator that has read these tokens, and will always take the likeliest."""
        params = self._genai.GeneratorParams(self._model)
        params.set_search_options(do_sample=False, max_length=len(ids) + more, min_length=0, repetition_penalty=1.0)
        generator = self._genai.Generator(self._model, params)
        generator.append_tokens(numpy.array(ids, dtype=numpy.int32))
        return generator


class GraphReader(ModelReader):
    """A graph of tokens to scores in onnxruntime, with the tokenizer of transformers beside it.

    Args:
        processor: the folder's tokenizer, as transformers reads it.

    Raises: TunesmithError when it cannot be loaded.
    """

    program = f"onnxruntime {onnxruntime.__version__}"

    def __init__(self, folder: Path, processor: Any = None) -> None:
        self.processor = processor
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        with _told(self.program):
            self._session = onnxruntime.InferenceSession(str(folder / GRAPH), options, ["CPUExecutionProvider"])

    def logits(self, ids: Sequence[int]) -> torch.Tensor:
        said = self.batch([ids], 0)[0]
        return said if said.ndim == 1 else said.mean(0)

    def batch(self, rows: Sequence[Sequence[int]], padding: int) -> torch.Tensor:
        """What it says of several texts at once, float32: (B, labels), or (B, T, H) of a model without a head.

        Args:
            padding: token that stands behind shorter texts.
        """
        length = max(map(len, rows))
        ids = numpy.array([[*row, *[padding] * (length - len(row))] for row in rows], dtype=numpy.int64)
        mask = numpy.array([[1] * len(row) + [0] * (length - len(row)) for row in rows], dtype=numpy.int64)
        with _told(self.program):
            (said,) = self._session.run(None, {"input_ids": ids, "attention_mask": mask})
        return torch.from_numpy(numpy.asarray(said, dtype=numpy.float32))
