"""Pictures as examples: how fast, and in how much memory, beside the model's own processor in a loop.

python tests/bench/media.py [PICTURES] [ROWS]      # 2,000 pictures; 200,000 rows that name the same few files

Qwen2-VL's processor with its published limits, a tokenizer of a few words, one thread. `encoding` makes tokens from the
pictures' heads, `batches` decodes pixels as a loader does; `processor` is transformers' own, called row by row. Then
rows with pictures and clips are encoded into the cache, and the memory of the process is looked at on the way. Each
figure is of a process of its own.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

PICTURES, ROWS = 2_000, 200_000
SIZES = ((640, 480), (480, 640), (1024, 683), (1600, 1200))  # of photos in data sets of the field
BATCH, WARM, CHUNK = 4, 8, 64
LIMITS = {"shortest_edge": 56 * 56, "longest_edge": 28 * 28 * 1280}  # of Qwen/Qwen2-VL-2B-Instruct
PARTS = ("processor", "encoding", "batches")
SHARES = (0.1, 0.5, 1.0)  # of the rows, at which the memory is looked at
CLIP = (64, 48, 24)  # width, height, frames


def write_pictures(folder: Path, count: int) -> None:
    """Photos without a subject: soft colours under the grain of a sensor, as JPEG of usual quality."""
    import numpy
    from PIL import Image

    rng = numpy.random.default_rng(0)
    for number, (width, height) in zip(range(count), itertools.cycle(SIZES)):
        soft = Image.fromarray(rng.integers(0, 255, (12, 16, 3), dtype=numpy.uint8)).resize((width, height))
        grain = rng.integers(-6, 7, (height, width, 1), dtype=numpy.int16)
        pixels = (numpy.asarray(soft, numpy.int16) + grain).clip(0, 255).astype(numpy.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.jpg", quality=90)


def write_clip(file: Path) -> None:
    """A second of a clip, which takes little time to look at."""
    import av
    import numpy

    width, height, frames = CLIP
    with av.open(str(file), "w") as container:
        stream = container.add_stream("mpeg4", rate=24)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(frames):
            pixels = numpy.full((height, width, 3), number * 10, numpy.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


def save_model(folder: Path) -> Path:
    """A tiny Qwen2-VL whose processor has the limits of the published one."""
    from tunesmith_library_testing.seeing import save_seeing_model

    save_seeing_model(folder, "qwen2_vl")
    file = folder / "preprocessor_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "size": LIMITS}))
    return folder


def rows_of(pictures: Sequence[Path]) -> list[dict[str, Any]]:
    asked = "<image>What is to be seen here?"
    turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": "Colours, and nothing else."}]
    return [{"messages": turns, "images": [str(picture)]} for picture in pictures]


class Bench:
    """A model's processor and template, and rows."""

    def __init__(self, model: Path, pictures: Path) -> None:
        import torch
        from tunesmith_library_chat import ChatTemplate
        from tunesmith_library_chat.tokenizers import own_template
        from tunesmith_library_loading.processors import load_processor
        from tunesmith_stage_sft import SupervisedFineTuning

        torch.set_num_threads(1)
        self.processor = load_processor(model, trust_remote_code=False)
        self.template = ChatTemplate("auto", own_template(self.processor) or "", ()).bind(self.processor)
        self.stage = SupervisedFineTuning(max_length=100_000)
        self.rows = rows_of(sorted(pictures.iterdir()))

    def examples(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        columns = self.stage.encode(rows=rows, processor=self.processor, template=self.template)
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]

    def encoding(self, rows: list[dict[str, Any]]) -> Callable[[], int]:
        chunks = [rows[first : first + CHUNK] for first in range(0, len(rows), CHUNK)]
        return lambda: sum(len(example["input_ids"]) for chunk in chunks for example in self.examples(chunk))

    def batches(self, rows: list[dict[str, Any]]) -> Callable[[], int]:
        examples = self.examples(rows)

        def make() -> int:
            tokens = 0
            for first in range(0, len(examples), BATCH):
                some = examples[first : first + BATCH]
                batch: Any = self.stage.collate(examples=some, padding_free=True, processor=self.processor)
                assert "pixel_values" in batch
                tokens += batch["input_ids"].numel()
            return tokens

        return make

    def processor_alone(self, rows: list[dict[str, Any]]) -> Callable[[], int]:
        from PIL import Image

        def loop() -> int:
            tokens = 0
            for row in rows:
                asked, said = row["messages"]
                parts = [{"type": "image"}, {"type": "text", "text": asked["content"].removeprefix("<image>")}]
                text = self.processor.apply_chat_template([{**asked, "content": parts}, said], tokenize=False)
                with Image.open(row["images"][0]) as picture:
                    made = self.processor(text=[text], images=[picture.convert("RGB")], return_tensors="pt")
                tokens += made["input_ids"].numel()
            return tokens

        return loop


def measure(part: str, model: Path, pictures: Path) -> None:
    """Print the figures of a part as JSON."""
    bench = Bench(model, pictures)
    work = bench.processor_alone if part == "processor" else getattr(bench, part)
    work(bench.rows[:WARM])()
    run = work(bench.rows)
    before, start, used = _peak(), time.perf_counter(), time.process_time()
    tokens = run()
    seconds, used = time.perf_counter() - start, time.process_time() - used
    print(json.dumps({"tokens": tokens, "seconds": seconds, "used": used, "before": before, "peak": _peak()}))


def _peak() -> float:
    """The most that this process held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def encode_many(model: Path, file: Path, count: int, cache: Path) -> None:
    """Encode a file into the cache, and print what memory the process holds on the way."""
    import psutil
    import tunesmith
    from tunesmith.catalog import Catalog
    from tunesmith.types import Row
    from tunesmith_stage_sft import SupervisedFineTuning

    found: dict[int, float] = {}
    marks = [int(share * count) for share in SHARES]
    done = 0

    @tunesmith.plugin
    class Watched(SupervisedFineTuning):
        """Looks at the memory when so many rows are encoded."""

        @tunesmith.hookimpl
        def encode(self, rows: Sequence[Row], processor: Any, template: Any) -> dict[str, list[Any]]:
            nonlocal done
            made: dict[str, list[Any]] = super().encode(rows=rows, processor=processor, template=template)
            done += len(rows)
            for mark in marks:
                if done >= mark and mark not in found:
                    found[mark] = psutil.Process().memory_info().rss / 1e6
            return made

    catalog = Catalog([*Catalog.discover().entries(), *Catalog.of({"stage.watched": Watched}).entries()])
    data = {"train": [{"path": str(file), "format": "openai"}], "cache_dir": str(cache), "num_proc": 1}
    start = time.perf_counter()
    with contextlib.redirect_stderr(io.StringIO()):
        tunesmith.show({"model": {"path": str(model)}, "stage": "watched", "data": data}, catalog=catalog)
    print(json.dumps({"held": found, "seconds": time.perf_counter() - start, "peak": _peak()}))


def write_many(file: Path, folder: Path, count: int, *, clips: bool) -> None:
    """Rows that name the same few files."""
    rng = random.Random(0)
    files = [{"images": [f"{folder}/{number}.jpg"]} for number in range(16)]
    files += [{"videos": [f"{folder}/clip.mp4"]}] * (4 if clips else 0)
    with file.open("w", encoding="utf-8") as rows:
        for number in range(count):
            shown = rng.choice(files)
            asked = {"role": "user", "content": f"<{next(iter(shown))[:-1]}>What is number {number}?"}
            messages = [asked, {"role": "assistant", "content": f"It is number {number}."}]
            rows.write(json.dumps({"messages": messages, **shown}) + "\n")


def called(*arguments: Any) -> dict[str, Any]:
    """What another process of this file prints."""
    command = [sys.executable, __file__, *map(str, arguments)]
    done = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def compare(model: Path, pictures: Path, count: int) -> Iterator[str]:
    """Lines of the table of pictures."""
    yield f"{count:,} pictures: pictures/s, processor seconds of each, MB before and at the most"
    tokens = set()
    for part in PARTS:
        found = called(part, model, pictures)
        rate, each = count / found["seconds"], found["used"] / count
        tokens.add(found["tokens"])
        yield f"  {part:10} {rate:9,.1f}  {each:8.4f} s  {found['before']:7,.0f} {found['peak']:7,.0f}"
    if len(tokens) > 1:
        raise SystemExit(f"the tokens are not the same: {tokens}")


def main(count: int, rows: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        model, pictures = save_model(Path(scratch) / "model"), Path(scratch) / "pictures"
        pictures.mkdir()
        write_pictures(pictures, count)
        for line in compare(model, pictures, count):
            print(line, flush=True)
        write_clip(pictures / "clip.mp4")
        print(f"{rows:,} rows that name 16 pictures and a clip: MB held after a share of them, the most, s")
        file = Path(scratch) / "rows.jsonl"
        write_many(file, pictures, rows, clips=True)
        found = called("many", model, file, rows, Path(scratch) / "cache")
        held = "  ".join(
            f"{share:.0%} {each:7,.0f}" for share, each in zip(SHARES, found["held"].values(), strict=True)
        )
        print(f"  {held}   {found['peak']:7,.0f}  {found['seconds']:7,.0f}", flush=True)
    print()


if __name__ == "__main__":
    if sys.argv[1:2] == ["many"]:
        encode_many(Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5]))
    elif len(sys.argv) > 2 and sys.argv[1] in PARTS:
        measure(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        main(*map(int, sys.argv[1:]), *(PICTURES, ROWS)[len(sys.argv) - 1 :])
