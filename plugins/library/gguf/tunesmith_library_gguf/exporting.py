"""GGUF files of a run's model in a folder: written, rounded, proven in llama.cpp. What exporters call."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tunesmith import TunesmithError, announce
from tunesmith.files import replacing
from tunesmith.messages import logger
from tunesmith.types import ModelHandle
from tunesmith_library_configuration.space import in_words
from tunesmith_library_proving.figures import Figures
from tunesmith_library_proving.gate import skipped
from tunesmith_library_proving.merging import Wanted as Merging
from tunesmith_library_proving.merging import merged_folder
from tunesmith_library_publishing.cards import Kind, write_card
from tunesmith_library_publishing.inventory import numbers_of, read_json

from tunesmith_library_gguf.adapters import write_adapter
from tunesmith_library_gguf.checking import Held, held
from tunesmith_library_gguf.converting import convert
from tunesmith_library_gguf.families import family_of
from tunesmith_library_gguf.kinds import KINDS, merged_in
from tunesmith_library_gguf.models import configuration, known_family, model_of, tell
from tunesmith_library_gguf.projectors import KIND, refuse_projector, write_projector
from tunesmith_library_gguf.proof import Proof, limits_of
from tunesmith_library_gguf.rounding import importance, round_file
from tunesmith_library_gguf.taking import offer, taken
from tunesmith_library_gguf.towers import ADVICE, has_tower
from tunesmith_library_gguf.writing import Model, write_model

TEMPLATE = "chat_template.jinja"
"""The trained template, beside an adapter, whose file has no place for it."""

_NUMBERS = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}


@dataclass(frozen=True)
class Wanted:
    """How a model is to be written."""

    kinds: tuple[str, ...] = ("q8_0",)  # a file for each
    verify: bool = True
    pre_tokenizer: str | None = None  # llama.cpp's name of how text is cut before merging
    converter: Path | None = None  # folder of llama.cpp, for architectures that are not written here
    importance: bool = False  # whether rounding goes by an importance matrix of the run's conversations
    adapter: bool = False  # the adapter alone
    form: str = "gguf"  # the exporter's name
    projector: bool = False  # what reads pictures too, in a file of its own, by the converter

    def file_of(self, kind: str) -> Hashable:
        """All that a file of a kind depends on."""
        return ("gguf", kind, self.verify, self.pre_tokenizer, self.converter, self.importance)

    def merging(self, base: Path) -> Merging:
        return Merging(merged_in(self.kinds, numbers_of(base).common), verify=self.verify, reason="to round once")


def export_gguf(handle: ModelHandle, output_dir: Path, wanted: Wanted) -> None:
    """Write a folder with the files, their report and a card.

    Raises: TunesmithError when llama.cpp does not have such a model or adapter, or computes another with it.
    """
    if wanted.projector:
        refuse_projector(handle.source.path, wanted.converter)
    with replacing(output_dir) as draft:
        draft.mkdir()
        if wanted.adapter:
            export_adapter(handle, draft, output_dir, wanted)
        else:
            files = write_files(handle, draft, output_dir, wanted)
        if wanted.projector and wanted.converter:
            merged = merged_folder(handle, output_dir, wanted.merging(handle.source.path))
            projector = draft / f"{named(output_dir, wanted.form)}-mmproj-{KIND.upper()}.gguf"
            write_projector(merged, projector, wanted.converter, wanted.verify)
        lossy = any(KINDS[kind].lossy for kind in wanted.kinds)
        write_card(handle, draft, Kind("gguf", "adapter" if wanted.adapter else "quantized" if lossy else "finetune"))
    for kind, file in zip(wanted.kinds, () if wanted.adapter else files, strict=False):
        offer(handle, wanted.file_of(kind), output_dir / file.name)


def write_files(handle: ModelHandle, folder: Path, beside: Path, wanted: Wanted) -> list[Path]:
    """Write a file of each kind, or take over the one that another exporter of the command has made.

    Args:
        folder: where they come.
        beside: what the exporter writes in the end.

    Raises: as `export_gguf`.
    """
    if len(wanted.kinds) == 1:
        target = folder / f"{named(beside, wanted.form)}-{wanted.kinds[0].upper()}.gguf"
        if taken(handle, wanted.file_of(wanted.kinds[0]), target, wanted.form):
            return [target]
    return Export(handle, folder, beside, wanted).write()


def named(folder: Path, form: str) -> str:
    """The name of a model, by the folder that it is exported to: `qwen3` of `qwen3-gguf`, and of `qwen3/gguf`."""
    return folder.parent.name if folder.name == form else folder.name.removesuffix(f"-{form}")


def export_adapter(handle: ModelHandle, folder: Path, beside: Path, wanted: Wanted) -> None:
    """Write the adapter, and prove it over the base's file, which is not kept.

    Raises: as `export_gguf`.
    """
    if handle.adapter is None:
        raise TunesmithError(
            f"{handle.source.address} is a whole model: this run trained no adapter that could be written alone.\n"
            "  exporter.gguf.adapter=false writes the model"
        )
    base, name = handle.source.path, named(beside, wanted.form)
    if "quantization_config" in read_json(base / "config.json"):
        raise TunesmithError(
            f"{handle.source.address} is stored in few bits, and llama.cpp puts adapters over a file of the base.\n"
            "  exporter.gguf.adapter=false writes the whole model"
        )
    proof = Proof(wanted.form, handle) if wanted.verify else None
    if proof is None:
        skipped(wanted.form)
    with tempfile.TemporaryDirectory(dir=folder) as workshop:
        over = Path(workshop) / "base.gguf"
        for kind in wanted.kinds:
            file = folder / f"{name}-lora-{kind.upper()}.gguf"
            count = write_adapter(file, handle.adapter, base, name, kind)
            announce(
                "GGUF", f"{file.name}, {in_words(file.stat().st_size)}", f"{count} tensors, to be put over the base"
            )
            if proof is not None:
                if not over.exists():
                    write_model(over, model_of(base, "base", wanted.pre_tokenizer), exact_kind(base))
                gate = proof.gate()
                gate.add("adapter", [], tensors=count, over=exact_kind(base))
                proof.file(gate, over, limits_of(kind, exact_kind(base)), adapter=file)
                proof.finish(gate, file.name, folder)
    (folder / TEMPLATE).write_text(handle.template.exported, encoding="utf-8")
    announce(
        "template", TEMPLATE, f"the base's file has its own: llama-server --lora … --chat-template-file {TEMPLATE}"
    )


def exact_kind(folder: Path) -> str:
    """The numbers of a GGUF file that hold what a folder's do."""
    return _NUMBERS[numbers_of(folder).common]


class Export:
    """The files of one model.

    Args:
        folder: where they come; what is made on the way lies in a folder within, which is removed at the end.
        beside: what the exporter writes, beside which the merged model is.
    """

    def __init__(self, handle: ModelHandle, folder: Path, beside: Path, wanted: Wanted) -> None:
        self._handle, self._folder, self._wanted = handle, folder, wanted
        said = read_json(handle.source.path / "config.json")
        if wanted.projector and family_of(said):  # the converter is for the projector, the language model known here
            self._wanted = wanted = replace(wanted, converter=None)
        if wanted.converter is None:
            known_family(handle.source.path)  # before anything is loaded
        elif has_tower(said) and not wanted.projector:
            logger.warning("GGUF: what reads pictures (mmproj) is not written; %s", ADVICE)
        self._merged = merged_folder(handle, beside, wanted.merging(handle.source.path))
        self._proof = Proof(wanted.form, handle) if wanted.verify else None
        self._name = named(beside, wanted.form)
        self._workshop = folder / ".workshop"

    def write(self) -> list[Path]:
        """Write a file of each kind.

        Raises: TunesmithError when llama.cpp does not have such a model, or computes another with it.
        """
        if self._proof is None:
            skipped(self._wanted.form)
        self._workshop.mkdir()
        try:
            trained = Source(self._merged, self._workshop / "trained", self._wanted, self._name)
            base = self._base()
            facts = tell(trained.model, self._wanted.projector) if trained.model else {}
            files = []
            for kind in self._wanted.kinds:
                file = self._folder / f"{self._name}-{kind.upper()}.gguf"
                fallen = trained.write(file, kind, self._matrix(trained))
                self._prove(file, kind, trained, base, facts | ({"fell_back": fallen} if fallen else {}))
                files.append(file)
            return files
        finally:
            shutil.rmtree(self._workshop, ignore_errors=True)

    def _base(self) -> Source | None:
        """The base, to be put through the same; None where the run trained all weights, or the base is smaller."""
        folder = self._handle.source.path
        if self._proof is None or self._handle.adapter is None or self._wanted.converter:
            return None
        if not any(KINDS[kind].lossy for kind in self._wanted.kinds):
            return None
        if "quantization_config" in read_json(folder / "config.json"):
            announce("base", "not put through the same", "it is stored in few bits")
            return None
        if configuration(folder)["vocab_size"] != configuration(self._merged)["vocab_size"]:
            announce("base", "not put through the same", "it has fewer tokens than the trained model")
            return None
        return Source(folder, self._workshop / "base", self._wanted, "base")

    def _matrix(self, trained: Source) -> Path | None:
        if not self._wanted.importance:
            return None
        file = self._workshop / "importance.gguf"
        if not file.exists():
            importance(self._handle, trained.exact(), file)
        return file

    def _prove(self, file: Path, kind: str, trained: Source, base: Source | None, facts: dict[str, Any]) -> None:
        found = trained.held(file)
        _say(file, kind, found, facts.get("fell_back", {}))
        if self._proof is None:
            if found.problems:
                raise TunesmithError(f"{file.name} is not what was to be written: {'; '.join(found.problems)}")
            return
        gate = self._proof.gate()
        gate.add("tensors", list(found.problems), **found.as_json(), **facts)
        self._proof.file(gate, file, limits_of(kind), self._drift(kind, base))
        self._proof.finish(gate, file.name, self._folder)

    def _drift(self, kind: str, base: Source | None) -> Figures | None:
        if base is None or self._proof is None or not KINDS[kind].lossy:
            return None
        file = self._workshop / f"base-{kind}.gguf"
        base.write(file, kind, self._matrix(base))
        figures = self._proof.drift(base.folder, file)
        file.unlink()
        return figures


class Source:
    """A folder of transformers, of which files are made."""

    def __init__(self, folder: Path, place: Path, wanted: Wanted, name: str) -> None:
        self.folder, self._place, self._wanted = folder, place, wanted
        self.model: Model | None = None
        if wanted.converter is None:
            self.model = model_of(folder, name, wanted.pre_tokenizer)

    def exact(self) -> Path:
        """The file in the numbers that the folder has, from which others are rounded."""
        kind = exact_kind(self.folder)
        file = self._place.with_name(f"{self._place.name}-{kind}.gguf")
        if not file.exists():
            self._plain(file, kind)
        return file

    def write(self, file: Path, kind: str, matrix: Path | None) -> dict[str, int]:
        """Write a file of a kind, by way of an exact one where llama.cpp rounds.

        Returns: how many tensors got another type than they were to have, by both.
        """
        if not KINDS[kind].own:
            return round_file(self.exact(), file, kind, matrix, told=self._place.name != "base")
        self._plain(file, kind)
        return {}

    def _plain(self, file: Path, kind: str) -> None:
        if self.model is None and self._wanted.converter is not None:
            convert(self._wanted.converter, self.folder, file, kind)
        elif self.model is not None:
            write_model(file, self.model, kind)

    def held(self, file: Path) -> Held:
        """The tensors of a file, compared with the model's where it was written here."""
        return held(file, self.model)


def _say(file: Path, kind: str, found: Held, fallen: Mapping[str, int]) -> None:
    """One line of what a file holds, and a warning where most experts are not in the numbers that were asked for."""
    counts = ", ".join(f"{name} {count}" for name, count in sorted(found.types.items()))
    announce("GGUF", f"{file.name}, {in_words(file.stat().st_size)}", f"tensors by their numbers: {counts}")
    for how, count in fallen.items():
        logger.warning("GGUF: %d tensors have rows that do not fit the numbers: %s", count, how)
    for line in passed_over(kind, found):
        logger.warning("GGUF: %s", line)


def passed_over(kind: str, found: Held) -> Iterator[str]:
    """What of a file is in more bits than its kind says, in words: matrices whose rows do not fit, and experts."""
    if not KINDS[kind].lossy:
        return
    wide = {name: found.matrices.get(name, 0) for name in ("F32", "F16", "BF16") if found.matrices.get(name)}
    if wide:
        listed = ", ".join(f"{count} in {name}" for name, count in wide.items())
        yield f"{sum(wide.values())} of {sum(found.matrices.values())} matrices are passed over by {kind}: {listed}"
    experts = {name: count for name, count in found.experts.items() if name in ("F32", "F16", "BF16")}
    if experts:
        yield f"{sum(experts.values())} of {sum(found.experts.values())} tensors of experts are passed over by {kind}"
