"""How fast conversations become token ids with labels: reading, converting, rendering, tokenising, storing."""

import contextlib
import io
import json
import tempfile
import time
from pathlib import Path

from inputs import instructions, tokenizer_folder

CONVERSATIONS = 20_000


def encode(tokenizer: Path, file: Path, workers: int, rows: int) -> tuple[int, float]:
    """Encode rows of a file; how many tokens came out, and the seconds."""
    from tunesmith import show

    entry = {"path": str(file), "format": "alpaca", "max_samples": rows}
    config = {
        "model": {"path": str(tokenizer)},
        "template": "llama3",
        "data": {"train": [entry], "cache": False, "num_proc": workers},
    }
    start = time.perf_counter()
    with contextlib.redirect_stderr(io.StringIO()):
        _, splits = show(config)
    seconds = time.perf_counter() - start
    return sum(len(splits.train[index]["input_ids"]) for index in range(len(splits.train))), seconds


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder, name = tokenizer_folder("llama3", Path(scratch) / "tokenizer")
        file = Path(scratch) / "train.json"
        file.write_text(json.dumps(instructions(CONVERSATIONS)))
        print(f"encoding {CONVERSATIONS:,} conversations, {name}, template llama3 (tokens/s)")
        encode(folder, file, workers=1, rows=100)  # what is imported on the way does not count
        for workers in (1, 2):
            tokens, seconds = encode(folder, file, workers, CONVERSATIONS)
            label = f"{workers} worker{'s' if workers > 1 else ' '}"
            print(f"  {label}  {tokens / seconds:12,.0f}   ({tokens:,} tokens in {seconds:.1f} s)")
    print()


if __name__ == "__main__":
    main()
