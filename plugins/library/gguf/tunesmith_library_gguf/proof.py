"""Whether llama.cpp computes the trained model with what was written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tunesmith import TunesmithError
from tunesmith.types import ModelHandle
from tunesmith_library_llamacpp.reader import GGUFReader
from tunesmith_library_proving.figures import Figures, Limits
from tunesmith_library_proving.gate import REPORT, Gate, Observation
from tunesmith_library_proving.texts import Text
from tunesmith_library_publishing.inventory import read_json

from tunesmith_library_gguf.kinds import KINDS

_BESIDE_BASE = 5.0  # times what the base loses in the same numbers
_EXACT = 0.05  # largest difference of a logit in float32, where only the order of sums is another


def limits_of(kind: str, over: str = "f32") -> Limits:
    """What a file may differ by from the trained model.

    Args:
        kind: its numbers.
        over: of an adapter, the numbers of the base's file.
    """
    if kind == over == "f32":
        return Limits(divergence=KINDS[kind].divergence, largest=_EXACT)
    divergence = KINDS[kind].divergence + (KINDS[over].divergence if over != "f32" else 0.0)
    return Limits(divergence=divergence, beside_base=_BESIDE_BASE if KINDS[kind].lossy else 0.0)


class _Over(GGUFReader):
    """A base with an adapter: template and ends are the base's, and whoever serves them gives the trained ones."""

    def text(self, text: Text, prompt: bool) -> str | None:
        return None


class Proof:
    """What the trained model says, and what llama.cpp makes of the files.

    Args:
        form: the exporter's name.
    """

    def __init__(self, form: str, handle: ModelHandle) -> None:
        self._form, self._handle = form, handle
        self._trained: Observation = handle.shared.get("trained") or Gate(form, handle).trained(handle.load())
        self._reports: dict[str, Any] = {}

    def gate(self) -> Gate:
        """A gate of one file, that knows what the trained model says."""
        return Gate(self._form, self._handle)

    def drift(self, base: Path, file: Path) -> Figures:
        """What a form takes from the base.

        Args:
            base: its folder.
            file: the base in this form.
        """
        from tunesmith_library_proving.readers import load_folder

        gate = self.gate()
        before = gate.look(load_folder(base), answers=False)
        with GGUFReader(file) as reader:
            return gate.figures(before, gate.look(reader, answers=False))

    def file(
        self, gate: Gate, file: Path, limits: Limits, base: Figures | None = None, adapter: Path | None = None
    ) -> None:
        """Compare a file with the trained model; raises when it is finished and something differs.

        Args:
            limits: of the format.
            base: what the format takes from the base.
            adapter: that is put over the file.
        """
        try:
            reader = GGUFReader(file) if adapter is None else _Over(file, adapter)
        except TunesmithError as error:
            return gate.add("loading", [str(error)])
        with reader:
            gate.expect(self._trained, gate.look(reader), limits, reader, base)
            gate.wording(reader, () if adapter else self._ends(reader))
        return None

    def finish(self, gate: Gate, name: str, folder: Path) -> None:
        """Write what was found of a file into the folder's report.

        Raises: TunesmithError that lists everything that differs.
        """
        gate.finish(folder)
        self._reports[name] = read_json(folder / REPORT)
        if len(self._reports) > 1:
            said = next(iter(self._reports.values())) | {"files": self._reports}
            (folder / REPORT).write_text(json.dumps(said, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def _ends(self, reader: GGUFReader) -> Iterator[str]:
        """What ended an answer in training, and ends none in llama.cpp."""
        from tunesmith_library_chat import tokenizer_of

        tokenizer = tokenizer_of(self._handle.processor)
        wanted = {tokenizer.eos_token: tokenizer.eos_token_id}
        for string in self._handle.template.stop:
            ids = tokenizer.encode(string, add_special_tokens=False)
            wanted |= {string: ids[0]} if len(ids) == 1 else {}
        for string, token in wanted.items():
            if token is not None and token not in reader.end_tokens:
                yield f"{string!r} (token {token}) ends no answer in llama.cpp"
