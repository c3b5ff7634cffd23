"""Data sets from files and hubs to encoded examples: read, converted, encoded once and cached, mixed, split."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from tunesmith import DataError, announce, hookimpl, plugin
from tunesmith.errors import ConfigError
from tunesmith.keys import Key
from tunesmith.planning import problem_of
from tunesmith.ranges import at_least, between, filled, path_like
from tunesmith.runs import launches
from tunesmith.types import DatasetSplits, Encoder, Fetch, Problem, Requirement, ToRows
from tunesmith_library_caching import DATASETS, Hold, entries_of, kept_in

from .checking import mix_problems, option_problems, problems_of, stream_problems
from .detecting import detected_formats, format_of_files, possible_formats, provenance
from .entries import Entry, Source, find_registry, is_unknown_name, read_registry, resolve, unknown_name
from .summing import sum_up, warn_of_idle

if TYPE_CHECKING:
    from datasets import Dataset
    from tunesmith.planning import Plan
    from tunesmith_library_estimates.estimation import Estimate

    from .caching import Cache
    from .encoding import Work
    from .shards import Sharding

_PEEKED = 1000  # records of a streamed data set that are read to show some


@plugin
class Datasets:
    """Reads JSON, JSON Lines, CSV, text, Parquet and Arrow, local or from a hub, into Arrow-backed data sets.

    An entry's path is a file, a folder, a pattern, a hub address, or a name in the registry, a YAML file of entries.
    """

    train: list[Entry] = []  # training sets: paths, or mappings with path, format, columns …
    eval: list[Entry] = []  # evaluation sets, each measured by itself under its name
    # held out of the training sets: below 1 a share, from 1 on a number of examples
    val_size: Annotated[float, at_least(0, most=1_000_000_000)] = 0.0
    # hold out by the value of this column, such as a user: val_size of the values, and all records of each
    split_by: Annotated[str | None, filled] = None
    # leave out training examples that stand before in a training set, or in an evaluation set
    deduplicate: bool = False
    # use only the first records of each data set
    max_samples: Annotated[int | None, at_least(1, most=1_000_000_000)] = None
    # how several training sets become one: behind each other, or drawn by weight until the first, or all, are used up
    mix: Literal["concat", "interleave_under", "interleave_over", "interleave_once"] = "concat"
    resample: bool = False  # where an epoch has a part of a set, by samples or by weight: draw another in each epoch
    # of the choice of held-out examples and of the mix
    shuffle_seed: Annotated[int, between(0, 2**32 - 1)] = 42
    # file of named data sets; paths in it start at its folder
    registry: Annotated[str, path_like] = "conf/datasets.yaml"
    batch_size: Annotated[int, at_least(1, most=1_000_000)] = 1000  # rows that are encoded at a time
    # processes that encode; null is one per core, at most 8; few rows need no other
    num_proc: Annotated[int | None, at_least(1, most=1_024)] = None
    streaming: bool = False  # encode training data while it is trained on, for large sets; needs trainer.max_steps
    # with streaming: examples held back, of which the next one is drawn; 1 keeps the order
    shuffle_buffer: Annotated[int, at_least(1, most=1_000_000_000)] = 1000
    # control tokens such as <|im_end|> that the data spell: text, or those tokens, for data that were rendered before
    special_tokens: Literal["text", "parse"] = "text"
    cache: bool = True  # keep encoded data sets for the next run
    # folder of encoded data sets; null is ~/.cache/tunesmith/datasets
    cache_dir: Annotated[str | None, path_like] = None

    SHORTHAND: ClassVar[str] = "train"
    known_as: ClassVar[dict[str, str]] = {
        **dict.fromkeys(("dataset", "datasets", "dataset_name", "dataset_path", "data_path", "data_files"), "train"),
        **dict.fromkeys(("train_file", "train_files", "train_data", "train_dataset", "train_path"), "train"),
        **dict.fromkeys(("eval_dataset", "eval_file", "validation_file", "validation_data", "val_dataset"), "eval"),
        **{"preprocessing_num_workers": "num_proc", "val_set_size": "val_size", "test_split_size": "val_size"},
        **{"mix_strategy": "mix", "buffer_size": "shuffle_buffer"},
    }
    changeable: ClassVar[tuple[str, ...]] = ("eval", "registry", "num_proc", "cache", "cache_dir")
    _default_hub: str = "huggingface"  # the run's
    _peeks: bool = False  # whether some examples are enough, for they are only shown
    _command: str = "train"  # the run's
    _held: dict[str, int] = {}  # the rows that each of the stage's rules holds something of
    _files: dict[str, list[Path]] = {}  # of the data sets that were looked for, by the entry's key
    _formats: dict[str, str] = {}  # those that the first record told, by the entry's key
    _installed: Callable[[], Mapping[str, type]] = dict  # the formats, for data that are fetched first
    _parts: dict[str, dict[str, str]] = {}  # what the rows of each format depend on
    _made_with: dict[str, str] = {}  # the plugins that take part, for who looks at the cache
    _holds: list[Hold] = []  # on archives and downloads that are read, until the run ends
    _cache: Any = None  # where this run keeps what it encodes, and what it has there

    @hookimpl
    def requires(self, installed: Callable[[str], Mapping[str, type]]) -> list[Requirement]:
        needed = []
        for source in self._all_sources(self._default_hub)[0]:
            needed.append(Requirement("hub", source.base, f"{source.key}.path"))
            try:
                names = possible_formats(source, lambda: installed("format"))
            except DataError:  # check says what is wrong
                continue
            needed += [Requirement("format", name, f"{source.key}.format") for name in names]
        return needed

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        default_hub = plan.get("default_hub", self._default_hub)
        sources, problems = self._all_sources(default_hub, plan.command)
        told = any(self.registry in problem.advice for problem in problems)
        if self.registry != type(self).registry and find_registry(self.registry) is None and not told:
            message = f"data.registry: there is no file {self.registry} (looked from {Path.cwd()})."
            problems.append(Problem("data.registry", message, "leave it out where no data set is named"))
        if plan.command in ("train", "encode") and not self.train:
            problems.append(Problem("data.train", "There is no training data.", "write data.train=[data/train.json]"))
        for source in sources:
            problems += problems_of(source, plan, default_hub)
        streams = self.streaming and plan.command != "eval"
        problems += option_problems(self, sources) + mix_problems(self, sources, plan)
        return problems + (stream_problems(self, plan) if streams else [])

    @hookimpl
    def configured(self, plan: Plan) -> None:
        self._default_hub = plan.get("default_hub", self._default_hub)
        self._peeks, self._command = plan.command == "show", plan.command
        self._parts, self._made_with = provenance(plan)
        self._installed = partial(plan.installed, "format")
        sources = self._all_sources(self._default_hub, plan.command)[0]
        tell = not launches(plan)  # else the first process does
        self._formats |= detected_formats(sources, self._installed, tell=tell)

    @hookimpl
    def estimate(self, estimate: Estimate, plan: Plan) -> Estimate:
        from .estimating import estimate_data

        return estimate_data(self, estimate, plan, self._all_sources(self._default_hub, self._command)[0])

    @hookimpl(wrapper=True)
    def chat_template(self) -> Generator[None, Any, Any]:
        template = yield
        if self.special_tokens == "parse":
            announce("special tokens", "parsed", "what the data spell becomes control tokens, by data.special_tokens")
            return replace(template, special_tokens="parse")
        return template

    @hookimpl
    def build_dataset(self, fetch: Fetch, to_rows: ToRows, encode: Encoder) -> DatasetSplits:
        from .duplicates import without_leaking, without_repeated
        from .locating import contents_of
        from .mixing import announce_mixture, hold_out, in_numpy, mixed, mixture_of, some_of, with_names

        measures = self._command == "eval"
        train, evaluation = self._sources("train"), self._sources("eval")
        if measures and not evaluation and not train:
            raise DataError("there is no evaluation data; write data.eval=[data/test.json]")
        if not measures and not train:
            raise DataError("there is no training data; write data.train=[data/train.json]")
        held_out = {}
        for source in evaluation:
            examples = self._encoded(self._work(source, fetch, to_rows, encode))
            held_out[source.name] = some_of(source.name, examples, source.entry.samples, self.shuffle_seed)
        if measures and not train:
            return DatasetSplits([], in_numpy(held_out))
        if self.streaming and not (self._peeks or measures):
            stream = self._stream(train, fetch, to_rows, encode)
            contents = contents_of([self._files[source.key] for source in train], whole=False)
            return DatasetSplits(stream, in_numpy(held_out), contents)
        names = [source.name for source in train]
        works = [self._work(source, fetch, to_rows, encode) for source in train]
        if self.split_by:
            works, held_out["validation"] = self._held_out(works)
        sets = with_names([self._encoded(work) for work in works], names)
        warn_of_idle(self._held)
        if self.deduplicate:
            sets = without_repeated(sets, names)
        if self.val_size and not self.split_by:
            sets, held_out["validation"] = hold_out(sets, self.val_size, self.shuffle_seed)
        if held_out and not (measures or self._peeks):  # nothing of what is shown or asked is learned
            sets = without_leaking(sets, names, held_out, self.deduplicate)
        mixture = mixture_of([source.entry for source in train], sets, names, self)
        if len(sets) > 1 or self.val_size or not mixture.is_plain:
            announce_mixture(mixture, self.val_size)
        contents = contents_of([self._files[source.key] for source in train], whole=True)
        return DatasetSplits(mixed(sets, mixture), in_numpy(held_out), contents)

    def _stream(self, sources: list[Source], fetch: Fetch, to_rows: ToRows, encode: Encoder) -> Any:
        from .encoded_lanes import found_encoded
        from .memory import give_back
        from .streaming import Stream

        give_back()
        works: Any = [self._work(source, fetch, to_rows, encode) for source in sources]
        works = (found_encoded(works, self._new_cache()) if self.cache and self.cache_dir else None) or works
        weights = None if self.mix == "concat" else [item.entry.samples or item.entry.weight for item in sources]
        shares = [f" ({weight / sum(weights):.1%})" for weight in weights] if weights else [""] * len(sources)
        names = ", ".join(source.name + share for source, share in zip(sources, shares, strict=True))
        announce("training examples", "a stream", f"{names}; {self.shuffle_buffer:,} at a time are shuffled")
        return Stream(works, weights, self.shuffle_buffer, self.shuffle_seed)

    def _work(self, source: Source, fetch: Fetch, to_rows: ToRows, encode: Encoder) -> Work:
        from .encoding import Work, processes
        from .locating import find_files

        files = self._files[source.key] = find_files(source, fetch, self._default_hub)
        self._holds += [Hold(folder) for folder in entries_of(files)]
        most = self.max_samples if source.entry.max_samples is None else source.entry.max_samples
        if self.streaming and self._peeks and source.key.startswith("data.train"):
            most = min(most or _PEEKED, _PEEKED)
        return Work(
            source=source,
            files=files,
            format=self._format(source, files),
            max_samples=most,
            to_rows=to_rows,
            encode=encode,
            batch_size=self.batch_size,
            num_proc=processes(self.num_proc),
        )

    def sharding(self, fetch: Fetch, to_rows: ToRows, encode: Encoder) -> Sharding:
        """What encodes the run's data sets in shards, on other machines; for who has these."""
        from .shards import Sharding

        sources = [*self._sources("train"), *self._sources("eval")]
        works = [self._work(source, fetch, to_rows, encode) for source in sources]
        return Sharding(works, self._new_cache(), self.split_by)

    def _new_cache(self) -> Cache:
        from .caching import Cache

        return Cache(self.cache_folder(), self._parts, self._made_with)

    def _held_out(self, works: list[Work]) -> tuple[list[Work], Dataset]:
        """Both sides of sets that are split by a column: what is trained on of each, and what is held out of all."""
        from .mixing import joined
        from .splitting import Side, SidedWork

        held, kept = (Side(str(self.split_by), self.val_size, self.shuffle_seed, side) for side in (True, False))
        sides = [SidedWork.of(work, held) for work in works]
        examples = joined([self._encoded(side, "held out of ") for side in sides if not side.is_empty], self.split_by)
        return [SidedWork.of(work, kept) for work in works], examples

    def _encoded(self, work: Work, what: str = "") -> Dataset:
        from .caching import encode_cached, encode_in_memory

        if self.cache and self._cache is None:
            self._cache = self._new_cache()
        encoded = encode_in_memory(work) if self._cache is None else encode_cached(work, self._cache)
        sum_up(what + work.source.name, work.format, encoded, self._held)
        return encoded.examples

    def _format(self, source: Source, files: list[Path]) -> str:
        if source.entry.format == "auto" and source.key not in self._formats:
            self._formats[source.key] = format_of_files(source, files, self._installed)
        return self._formats.get(source.key, source.entry.format)

    @property
    def kept(self) -> tuple[Path, ...]:
        """The encoded data sets of this run on disk."""
        return () if self._cache is None else tuple(self._cache.kept)

    def cache_folder(self) -> Path:
        """Where encoded data sets are kept."""
        if self.cache_dir is not None:
            return Path(self.cache_dir).expanduser()
        return kept_in(DATASETS)

    def _sources(self, which: Literal["train", "eval"]) -> list[Source]:
        """The data sets of `train` or `eval`. Raises: DataError."""
        sources, problems = self._all_sources(self._default_hub, self._command)
        for problem in problems:
            raise DataError(f"{problem.message}\n  {problem.advice}")
        return [source for source in sources if source.key.startswith(f"data.{which}")]

    def _all_sources(self, default_hub: str, command: str = "train") -> tuple[list[Source], list[Problem]]:
        """The data sets that a command reads. A model is measured on `eval`, or else on what is held out of `train`."""
        try:
            registry = read_registry(self.registry)
        except ConfigError as error:
            return [], [problem_of(error, Key("data", "registry"))]
        sources: list[Source] = []
        problems: list[Problem] = []
        measured = command == "eval" and (self.eval or not self.val_size)
        for which, entries in (("train", [] if measured else self.train), ("eval", self.eval)):
            for index, entry in enumerate(entries):
                key = f"data.{which}[{index}]"
                source, found = resolve(entry, key, registry, self.registry)
                if not found and is_unknown_name(source, default_hub):
                    found = [unknown_name(source, registry, self.registry)]
                problems += found
                sources += [] if found else [source]
        return sources, problems
