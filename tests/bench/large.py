"""Memory of data sets that grow: JSON Lines encoded into the cache, and streamed, each in a process of its own.

python tests/bench/large.py [MEGABYTES]      # the larger of two files, 20 by default; the other is a tenth of it
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from inputs import instructions, tokenizer_folder

MEGABYTES = 20
PARTS = ("encode-1", "encode-2", "stream")
EVERY = 0.3  # seconds from one look at the memory to the next


def write_rows(file: Path, size: int) -> int:
    """Write Alpaca rows of at least `size` bytes; how many. No two are the same."""
    rows = [json.dumps(row, ensure_ascii=False) for row in instructions(1000)]
    written = 0
    with file.open("w", encoding="utf-8") as stream:
        for number in itertools.count():
            if written >= size:
                return number
            line = rows[number % len(rows)].replace('"instruction": "', f'"instruction": "{number} ', 1) + "\n"
            stream.write(line)
            written += len(line.encode())
    raise AssertionError


def configuration(what: str, tokenizer: Path, file: Path, cache: Path) -> dict:
    """Of a part: `stream`, or `encode-2` in two processes."""
    streaming, processes = what == "stream", int(what.partition("-")[2] or 1)
    data = {"train": [{"path": str(file), "format": "alpaca"}], "streaming": streaming, "num_proc": processes}
    data |= {"cache_dir": str(cache / what)}
    config = {"model": {"path": str(tokenizer)}, "template": "llama3", "data": data}
    return config | ({"trainer": {"max_steps": 1}, "output_dir": str(cache / "run")} if streaming else {})


def encode(config: dict) -> int:
    """How many examples came out."""
    from tunesmith import show

    return len(show(config)[1].train)


def stream(config: dict, rows: int) -> int:
    """Read as many examples as the file has rows, as a training run does."""
    from tunesmith.assemble import assemble
    from tunesmith.compose import compose
    from tunesmith.pipeline import encoded_data, model_source, reader_of

    run = assemble(compose(config), "train")
    source = model_source(run, training=True)
    examples = encoded_data(run, source, *reader_of(run, source)).train
    return sum(1 for _ in itertools.islice(examples, rows))


def held(process: int) -> tuple[int, int]:
    """Bytes of memory that a process and those below it hold: with what they share once for each, and once in all."""
    import psutil

    resident = proportional = 0
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(process)
        for one in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.Error, OSError):
                resident += one.memory_info().rss
                proportional += _proportional(one.pid)
    return resident, proportional


def _proportional(process: int) -> int:
    """The PSS of a process: what it shares with others counts by its part."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024


def measure(what: str, tokenizer: Path, file: Path, rows: int, cache: Path) -> None:
    """Run one part in a process of its own, and print the most memory it held."""
    command = [sys.executable, __file__, what, str(tokenizer), str(file), str(rows), str(cache)]
    start, resident, proportional = time.perf_counter(), 0, 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            now = held(process.pid)
            resident, proportional = max(resident, now[0]), max(proportional, now[1])
            time.sleep(EVERY)
        said = process.stdout.read().strip() if process.stdout else ""
    seconds = time.perf_counter() - start
    if process.returncode:
        raise SystemExit(f"{what} failed")
    memory = "  ".join(f"{peak / 1e6:8,.0f}" for peak in (resident, proportional))
    print(f"  {what:9} {file.stat().st_size / 1e6:8,.0f}  {said:>12}  {memory}  {seconds:8,.0f}", flush=True)


def main(megabytes: float) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        tokenizer, name = tokenizer_folder("llama3", Path(scratch) / "tokenizer")
        print(f"memory of a data set in all processes, the most of it, {name}, template llama3")
        print("                  MB      examples    RSS MB    PSS MB         s")
        for size in (megabytes / 10, megabytes):
            file = Path(scratch) / "train.jsonl"
            rows = write_rows(file, int(size * 1e6))
            for what in PARTS:
                measure(what, tokenizer, file, rows, Path(scratch) / f"cache-{size:g}")
    print()


if __name__ == "__main__":
    if len(sys.argv) > 2:
        config = configuration(sys.argv[1], *map(Path, (sys.argv[2], sys.argv[3], sys.argv[5])))
        with contextlib.redirect_stderr(io.StringIO()):
            done = stream(config, int(sys.argv[4])) if sys.argv[1] == "stream" else encode(config)
        print(f"{done:,}")
    else:
        main(float(sys.argv[1]) if len(sys.argv) > 1 else MEGABYTES)
