"""Plugins of every kind without weight or network, which write down how they are called."""

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar, Literal

import pytest
from tunesmith import hookimpl, plugin
from tunesmith.catalog import Catalog
from tunesmith.types import DatasetSplits, Delta, LossOutput, Piece, Request, Requirement


class StubTemplate:
    """What the pipeline asks of a chat template."""

    jinja, exported, variables = "{{ messages }}", "{{ messages }} for others", {}

    def bind(self, processor):
        self.processor = processor
        return self

    def request(self, processor, conversation, sampling, *, stop, context_length):
        return Request([ord(letter) for letter in conversation.messages[-1]["content"]], sampling)

    def read(self, processor, answers, *, stop, skip_special_tokens=True, conversation=None):
        for index, answer in enumerate(answers):
            for delta in answer:
                text = "".join(map(chr, delta.token_ids))
                yield Piece(index, text, delta.token_ids, finish_reason=delta.finish_reason)


@dataclass(kw_only=True)
class Entry:
    """One data set."""

    SHORTHAND: ClassVar[str] = "path"
    path: str  # file or address
    format: str = "plain"  # how its records are laid out
    weight: float = 1.0  # share in the mixture


@plugin
class Model:
    """Loads nothing."""

    path: str  # folder or address of the model
    revision: str | None = None  # branch, tag or commit
    api_token: str | None = None  # for the hub

    @hookimpl
    def resolve_precision(self, requested):
        self.calls.append(("resolve_precision", requested))
        return "fp32" if requested == "auto" else requested

    @hookimpl
    def load_processor(self, source):
        self.calls.append(("load_processor", source.path))
        return SimpleNamespace()

    @hookimpl
    def load_model(self, source, quantization):
        self.calls.append(("load_model", source.precision, quantization))
        return "model"


@plugin
class Template:
    """A template."""

    @hookimpl
    def chat_template(self, processor):
        self.calls.append(("chat_template",))
        return StubTemplate()


@plugin
class Data:
    """Data sets."""

    train: list[Entry] = field(default_factory=list)  # to learn from
    eval: dict[str, Entry] = field(default_factory=dict)  # to measure with, by name
    extra: list[Entry] | None = None  # more of them

    @hookimpl
    def requires(self):
        places = enumerate(self.train)
        return [Requirement("format", entry.format, f"data.train[{index}].format") for index, entry in places]

    @hookimpl
    def build_dataset(self, fetch, to_rows, encode):
        self.calls.append(("build_dataset", [entry.path for entry in self.train]))
        rows = [row for entry in self.train for row in to_rows(entry.format, [{"a": 1}], {})]
        return DatasetSplits(train=encode(rows)["input_ids"])


@plugin
class Format:
    """Records as they are."""

    @hookimpl
    def to_rows(self, records):
        self.calls.append(("to_rows",))
        yield from ({"text": str(record)} for record in records)


@plugin
class Hub:
    """Finds everything."""

    @hookimpl
    def fetch(self, address, revision):
        self.calls.append(("fetch", address, revision))
        folder = Path("fetched") / address.strip("/")
        folder.mkdir(parents=True, exist_ok=True)
        return folder


@plugin
class Stage:
    """A training objective."""

    max_length: int = 2048  # tokens of an example at most

    @hookimpl
    def encode(self, rows, processor):
        self.calls.append(("encode", len(rows)))
        return {"input_ids": [[1]] * len(rows)}

    @hookimpl
    def collate(self, examples, padding_free):
        return {"num_items": len(examples)}

    @hookimpl
    def compute_loss(self, model, batch):
        self.calls.append(("compute_loss", "stage"))
        return LossOutput(loss=1.0, num_items=1.0)


@plugin
class Lora:
    """Low rank."""

    known_as: ClassVar[dict[str, str]] = {"lora_rank": "rank"}

    rank: int = 8  # rank of the update
    alpha: float | None = None  # scale; null is twice the rank
    target: Literal["all", "attention"] = "all"  # which layers
    dropout: float = 0.0  # probability

    @hookimpl
    def apply_adapter(self, model, trained):
        self.calls.append(("apply_adapter", model, trained))
        return f"{model}+lora"

    @hookimpl
    def merge_adapter(self, model):
        return "merged"


@plugin
class Full:
    """All weights."""

    @hookimpl
    def apply_adapter(self, model):
        return model

    @hookimpl
    def merge_adapter(self, model):
        return model


@plugin
class Quantizer:
    """Fewer bits."""

    bits: Literal[2, 4, 8] = 4  # per weight

    @hookimpl
    def quantization_config(self, source):
        self.calls.append(("quantization_config", self.bits))
        return {"bits": self.bits}

    @hookimpl
    def quantize(self, model, calibration):
        batches = [] if calibration is None else list(calibration())
        self.calls.append(("quantize", model, len(batches)))
        return f"{model}-{self.bits}bit"


@plugin
class Trainer:
    """A loop of one step."""

    learning_rate: float = 1e-4  # peak
    max_steps: int = -1  # optimizer steps; -1 is all

    @hookimpl
    def fit(self, job):
        self.calls.append(("fit", job.model, job.resume))
        self.job = job
        job.compute_loss(model=job.model, batch={})
        job.emit(event="event")
        return not self.calls.interrupted


@plugin
class Tracker:
    """Listens."""

    project: str = "tunesmith"  # its name there

    @hookimpl
    def on_event(self, event):
        self.calls.append(("on_event", self.project, event))


@plugin
class Engine:
    """An echo."""

    @hookimpl
    def open_engine(self, handle):
        return Echo(handle.load(), self.calls)


class Echo:
    """Answers with the name of its model and the prompt."""

    context_length = None

    def __init__(self, model, calls):
        self.model, self.calls = model, calls

    def submit(self, request):
        return [Delta(tuple(map(ord, f"{self.model} "))), Delta(tuple(request.prompt), finish_reason="stop")]

    def close(self):
        self.calls.append(("close",))


@plugin
class Exporter:
    """Writes one file."""

    @hookimpl
    def export(self, handle, output_dir):
        self.calls.append(("export", handle.merge(handle.load())))
        output_dir.mkdir(parents=True)
        return output_dir


class Calls(list):
    """How hooks were called, in order."""

    interrupted = False

    def names(self) -> list[str]:
        return [call[0] for call in self]

    def of(self, name: str) -> list[tuple]:
        return [call for call in self if call[0] == name]


@pytest.fixture
def calls(monkeypatch):
    made = Calls()
    for cls in PLUGINS.values():
        monkeypatch.setattr(cls, "calls", made, raising=False)
    return made


PLUGINS = {
    "model.transformers": Model,
    "template.auto": Template,
    "data.datasets": Data,
    "format.plain": Format,
    "hub.huggingface": Hub,
    "hub.local": Hub,
    "stage.sft": Stage,
    "adapter.lora": Lora,
    "adapter.full": Full,
    "quantizer.hqq": Quantizer,
    "trainer.transformers": Trainer,
    "tracker.console": Tracker,
    "tracker.plot": Tracker,
    "tracker.wandb": Tracker,
    "engine.transformers": Engine,
    "exporter.merged": Exporter,
}


@pytest.fixture
def plugins(calls):
    """The classes by address, to be added to: `Catalog.of({**plugins, "loss.mine": Mine})`."""
    return dict(PLUGINS)


@pytest.fixture
def catalog(plugins):
    return Catalog.of(plugins)


@pytest.fixture(autouse=True)
def in_tmp_path(tmp_path, monkeypatch):
    """Runs without output_dir go to `runs/` of the current folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("RANK", "WORLD_SIZE", "TUNESMITH_PLUGINS", "TUNESMITH_TRACE", "TUNESMITH_DEBUG"):
        monkeypatch.delenv(name, raising=False)
