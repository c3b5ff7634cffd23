"""Whether PEFT makes the trained model of base and adapter, and whether the published class has all its layers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import transformers
from peft import PeftModel, __version__
from tunesmith import TunesmithError, announce
from tunesmith.types import ModelHandle
from tunesmith_library_adapting.adapters import quiet
from tunesmith_library_chat import tokenizer_of
from tunesmith_library_proving.figures import Figures, Limits
from tunesmith_library_proving.gate import Gate, Observation
from tunesmith_library_proving.quieting import errors_only
from tunesmith_library_proving.readers import ModelReader, load_folder
from tunesmith_library_proving.wording import special_tokens
from tunesmith_library_publishing.adapters import names_for, rest_of
from tunesmith_library_publishing.inventory import read_json, tensors_of
from tunesmith_library_publishing.naming import on_meta, published_class
from tunesmith_library_weights.bases import stored_by

from .layout import CONFIG, WEIGHTS, limits_of_servers, rows_of

_OF_KERNELS = 0.05
"""KL divergence, in nats, that two programs may have which multiply with the same few bits, each in its own numbers."""

_BESIDE_BASE = 5.0
"""How many times the divergence of the quantised base from the served one an adapter over it may have."""


class Proof:
    """Takes what the trained model says before anything is written.

    Args:
        tolerance: largest difference of a logit, over the base in the numbers that it was trained in.
        quantizer: that it was trained over; then the base is another where it is served, and the difference is told.
    """

    def __init__(self, handle: ModelHandle, tolerance: float, quantizer: str | None) -> None:
        self._gate, self._handle, self._quantizer = Gate("adapter", handle), handle, quantizer
        self._stored, self._exact = stored_by(handle.source.path), Limits(largest=tolerance)
        few_bits = Limits(divergence=_OF_KERNELS, beside_base=0.0 if self._stored else _BESIDE_BASE)
        self._limits = few_bits if quantizer or self._stored else self._exact
        model = handle.load()
        self._device, self._classifier = model.device, not model.can_generate()
        plain: Any = model.get_base_model() if isinstance(model, PeftModel) else model
        self._class = type(plain)
        self._trained = self._gate.trained(model)
        self._base: Observation | None = None  # the quantised base alone, where another one is served
        if quantizer and self._stored is None and isinstance(model, PeftModel):
            with model.disable_adapter():
                self._base = self._gate.look(ModelReader(model), answers=False)

    def written(self, folder: Path) -> None:
        """Load base and adapter as a program with PEFT does, and compare; write the report.

        Raises: TunesmithError that lists everything that differs.
        """
        base = self._handle.source.path
        before, after = (tensors_of_file(place / WEIGHTS) for place in (self._handle.adapter or folder, folder))
        lost = sorted(before.keys() - after.keys())
        self._gate.add("weights", [f"{name} is missing" for name in lost], held=len(after))
        published = published_class(base, self._class)
        config = read_json(folder / CONFIG)
        lonely = list(strangers(after, on_meta(published, base), str(config.get("peft_type")).lower()))
        self._gate.add("layers", lonely, published=published.__name__)
        unserved = limits_of_servers(config)
        self._gate.add("vllm", [], unserved=unserved)
        if unserved:
            announce("vLLM", f"serves no {', no '.join(unserved)}", "exporter=merged writes a model that it serves")
        reader = self._loaded(folder, published)
        self._gate.expect(self._trained, self._gate.look(reader), self._limits, reader, self._drift(reader))
        trained = tokenizer_of(self._handle.processor)
        self._gate.wording(reader, special_tokens(tokenizer_of(reader.processor), trained))
        if self._quantizer and self._stored is None:
            announce("base", "in 16 bits here", f"it was trained over quantizer={self._quantizer}, which differs")
        self._gate.finish(folder)

    def _drift(self, reader: ModelReader) -> Figures | None:
        """How far the base that is served is from the quantised one, both without the adapter."""
        if self._base is None:
            return None
        with reader.model.disable_adapter():
            return self._gate.figures(self._base, self._gate.look(reader, answers=False))

    def _loaded(self, folder: Path, published: Any) -> ModelReader:
        """The base by plain transformers, as large as the tokenizer asks for, with the adapter by peft."""
        base, processor = self._handle.source.path, transformers.AutoTokenizer.from_pretrained(folder)
        config = read_json(folder / CONFIG)  # peft would round what was trained whole to the base's numbers
        dtype = "float32" if config.get("modules_to_save") or config.get("trainable_token_indices") else "auto"
        try:
            if self._classifier:  # its head is the adapter's
                labels = self._trained.said[0].shape[-1]
                with errors_only("transformers"):
                    model = published.from_pretrained(base, dtype=dtype, num_labels=labels)
                model.config.pad_token_id = tokenizer_of(processor).pad_token_id
            else:
                model = load_folder(base, None, self._class, type(self._handle.processor), dtype=dtype).model
            if rows_of(processor) > model.get_input_embeddings().weight.shape[0]:
                model.resize_token_embeddings(rows_of(processor), mean_resizing=False)
                self._gate.add("tokens", [], base_must_be_resized_to=rows_of(processor))
            with quiet():
                adapted = PeftModel.from_pretrained(model, str(folder)).to(self._device)
        except TunesmithError as error:
            if self._stored is None:
                raise
            return self._over_few_bits(folder, processor, error)
        except Exception as error:
            raise TunesmithError(f"PEFT cannot load what was written: {type(error).__name__}: {error}") from error
        return _named(ModelReader(adapted, processor), "")

    def _over_few_bits(self, folder: Path, processor: Any, error: TunesmithError) -> ModelReader:
        """The written adapter over a base that plain transformers does not load here, as the run's quantizer reads it.

        Args:
            error: why it does not.
        """
        model = self._handle.load()
        if not isinstance(model, PeftModel) or names_for(model) is not None:
            raise error
        with quiet():
            found = model.load_adapter(str(folder), "written")
            model.set_adapter("written")
        self._limits = self._exact
        lost = [name for name in found.missing_keys if ".written." in name]
        self._gate.add("base", [f"{name} is missing" for name in lost], few_bits=self._stored)
        announce("base", f"{self._stored}, as the run's quantizer reads it", str(error).splitlines()[0])
        return _named(ModelReader(model, processor), f" over {self._stored} as the run reads it")


def _named(reader: ModelReader, more: str) -> ModelReader:
    reader.program = f"transformers {transformers.__version__} with peft {__version__}{more}"
    return reader


def tensors_of_file(file: Path) -> dict[str, tuple[int, ...]]:
    """The tensors of one file, with their shapes."""
    return {name: stored.shape for name, stored in tensors_of(file.parent).items() if stored.file == file}


_BESIDE = ("weight", "bias", "base_layer", "token_adapter")  # of what is saved whole, or nested around experts


def strangers(names: Iterable[str], skeleton: Any, kind: str) -> Iterator[str]:
    """The weights of an adapter that belong to no module of the class that other programs load.

    Args:
        skeleton: a model of that class, without weights.
        kind: peft's type of the adapter, in small letters, with which the names of its weights begin.
    """
    modules = frozenset(name for name, _ in skeleton.named_modules())
    rests = {name: rest_of(name, modules) for name in names}
    lonely = [name for name, rest in rests.items() if not rest.startswith((f"{kind}_", *_BESIDE))]
    if lonely:
        yield f"{len(lonely)} weights belong to no layer of {type(skeleton).__name__}, such as {lonely[0]}"
