"""How fast conversations become token ids with labels on the disk, beside what tokenising them alone takes.

python tests/bench/encoding.py [CONVERSATIONS] [ROUNDS]      # 20,000 in 3 rounds

Reading, converting, rendering, tokenising, labels and storing against `tokenizers`' own `encode_batch_fast` on the same
texts, and against tokenising them turn by turn, as LLaMA-Factory does, each with as many processes or threads. Each
figure is of a process of its own, which nothing was encoded in before; rounds take turns, and the median counts.
"""

import contextlib
import io
import itertools
import json
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from inputs import SHARED, instructions, tokenizer_folder

CONVERSATIONS, ROUNDS = 20_000, 3
TEMPLATES = {"llama3": "llama3", "qwen": "qwen"}  # by tokenizer
PARTS = {"whole": "all of it", "fast": "encode_batch_fast", "turns": "turn by turn"}
WARM = 40  # conversations that are rendered before the time counts: what is imported on the way does not
BATCH = 1000


def conversations(count: int) -> list[dict[str, Any]]:
    """The rows of the Alpaca demo set and those about the model's identity, repeated; else made-up ones."""
    files = [SHARED / "data" / name for name in ("alpaca_en_demo.json", "identity.json")]
    if not all(file.is_file() for file in files):
        return list(instructions(count))
    rows = [row for file in files for row in json.loads(file.read_text(encoding="utf-8"))]
    return [rows[number % len(rows)] for number in range(count)]


class Bench:
    """A tokenizer and a template, and conversations in a file.

    Args:
        folder: of a tokenizer.
        workers: processes, or threads where they do as well.
    """

    def __init__(self, folder: Path, template: str, workers: int, file: Path) -> None:
        from tunesmith.assemble import assemble
        from tunesmith.compose import compose
        from tunesmith.pipeline import model_source, reader_of

        self.workers = workers
        cache = str(folder / f"cache-{workers}")
        data = {"train": [{"path": str(file), "format": "alpaca"}], "num_proc": workers, "cache_dir": cache}
        self.run = assemble(compose({"model": {"path": str(folder)}, "template": template, "data": data}), "train")
        self.source = model_source(self.run, training=True)
        self.tokenizer, self.template = reader_of(self.run, self.source)
        self.rows = json.loads(file.read_text(encoding="utf-8"))
        self.render(self.rows[:WARM])

    def render(self, rows: list[dict[str, Any]]) -> list[list[str]]:
        """The turns that each rendered conversation is cut into: question, answer, question, …"""
        cut = []
        for row in rows:
            asked = "\n".join(filter(None, (row["instruction"], row.get("input"))))
            talk = [{"role": "user", "content": asked}, {"role": "assistant", "content": row["output"]}]
            rendered = self.template.render(talk, training=True)
            edges = [0, *(place for span in rendered.spans for place in (span.start, span.end)), len(rendered.text)]
            cut.append([rendered.text[start:end] for start, end in itertools.pairwise(edges)])
        return cut

    def whole(self) -> Callable[[], int]:
        """All of it, into a cache, as a run does."""
        from tunesmith.pipeline import encoded_data

        def encode() -> int:
            with contextlib.redirect_stderr(io.StringIO()):
                examples = encoded_data(self.run, self.source, self.tokenizer, self.template).train
            return len(examples.with_format("arrow")[:]["input_ids"].combine_chunks().values)

        return encode

    def fast(self) -> Callable[[], int]:
        """The same texts by the Rust tokenizer alone."""
        texts = ["".join(turns) for turns in self.render(self.rows)]
        os.environ["TOKENIZERS_PARALLELISM"] = "true" if self.workers > 1 else "false"
        encode = self.tokenizer.backend_tokenizer.encode_batch_fast

        def count() -> int:
            batches = (texts[first : first + BATCH] for first in range(0, len(texts), BATCH))
            return sum(len(found.ids) for batch in batches for found in encode(batch, add_special_tokens=False))

        return count

    def turns(self) -> Callable[[], int]:
        """The same texts, each turn by itself, with labels."""
        cut = self.render(self.rows)

        def count() -> int:
            if self.workers == 1:
                return sum(map(self.labelled, cut))
            with multiprocessing.get_context("fork").Pool(self.workers) as pool:
                tokens = sum(pool.imap(self.labelled, cut, chunksize=BATCH))
                pool.close()
                pool.join()
            return tokens

        return count

    def labelled(self, cut: list[str]) -> int:
        """How many tokens the turns of a conversation have."""
        input_ids: list[int] = []
        labels: list[int] = []
        for number, turn in enumerate(cut):
            ids = self.tokenizer.encode(turn, add_special_tokens=False)
            input_ids += ids
            labels += ids if number % 2 else [-100] * len(ids)
        return len(input_ids)

    def __reduce__(self) -> Any:
        return _shared, ()  # processes that are forked have it


_bench: Bench | None = None


def _shared() -> Bench | None:
    return _bench


def clock() -> tuple[float, float]:
    """Wall clock and processor seconds, of this process and of those that ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return time.perf_counter(), sum(each.ru_utime + each.ru_stime for each in used)


def measured(bench: Bench, part: str) -> dict[str, float]:
    """One figure, by a process that is forked for it."""
    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        measure = getattr(bench, part)()
        start, tokens, end = clock(), measure(), clock()
        found = {"tokens": tokens, "seconds": end[0] - start[0], "processor": end[1] - start[1]}
        peaks = (resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        os.write(writes, json.dumps({**found, **dict(zip(("memory", "workers"), peaks, strict=True))}).encode())
        os._exit(0)
    os.close(writes)
    with os.fdopen(reads) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    if not said:
        raise SystemExit(f"{part} failed")
    figures: dict[str, float] = json.loads(said)
    return figures


def compare(folder: Path, template: str, workers: int, file: Path, rounds: int) -> None:
    """Print the medians of some rounds."""
    import shutil

    global _bench
    with contextlib.redirect_stderr(io.StringIO()):
        _bench = Bench(folder, template, workers, file)
    figures: dict[str, list[dict[str, float]]] = {part: [] for part in PARTS}
    for _ in range(rounds):
        for part, found in figures.items():
            found.append(measured(_bench, part))
            shutil.rmtree(folder / f"cache-{workers}", ignore_errors=True)
    middle = {
        part: {name: statistics.median(each[name] for each in found) for name in found[0]}
        for part, found in figures.items()
    }
    if len({each["tokens"] for each in (middle["whole"], middle["fast"])}) > 1:
        print("  (conversations that are cut, or left out, are tokenised all the same)")
    for part, each in middle.items():
        rate, reference = (one["tokens"] / one["seconds"] for one in (each, middle["fast"]))
        memory = f"{each['memory']:6,.0f} MB" + (f" + {each['workers']:,.0f} MB" if each["workers"] else "")
        used = f"{each['processor'] / each['tokens'] * 1e6:6.2f} CPU-s per million"
        print(f"  {PARTS[part]:18} {rate:12,.0f} tokens/s  {rate / reference:5.2f}   {used}   {memory}", flush=True)


def main(count: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "train.json"
        file.write_text(json.dumps(conversations(count)), encoding="utf-8")
        for tokenizer, template in TEMPLATES.items():
            folder, name = tokenizer_folder(tokenizer, Path(scratch) / tokenizer)
            for workers in (1, 2):
                print(f"encoding {count:,} conversations, {name}, template {template}, {workers} at a time", flush=True)
                command = [sys.executable, __file__, str(folder), template, str(workers), str(file), str(rounds)]
                threads = {"RAYON_NUM_THREADS": str(workers), "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
                subprocess.run(command, env={**os.environ, **threads}, check=True)
    print()


if __name__ == "__main__":
    if len(sys.argv) > 3:
        compare(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]), int(sys.argv[5]))
    else:
        main(*map(int, sys.argv[1:]), *(CONVERSATIONS, ROUNDS)[len(sys.argv) - 1 :])
