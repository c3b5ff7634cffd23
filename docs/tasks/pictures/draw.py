"""Draw the pictures of docs/tasks/pictures.md with what is to be said of them, and make a tiny model that sees.

    python docs/tasks/pictures/draw.py [FOLDER]

A picture shows one shape in one colour, of some size, somewhere. The model is of Qwen3-VL's architecture and knows
nothing: its weights are random.
"""

import json
import random
import sys
from pathlib import Path

from PIL import Image, ImageDraw
from tunesmith_library_testing.seeing import save_seeing_model

COLOURS = {"red": "#d62728", "green": "#2ca02c", "blue": "#1f77b4", "yellow": "#ffd92f"}
SHAPES = {"circle": 60, "triangle": 3, "square": 4}  # corners
EDGE = 64  # of a picture, in pixels
ROWS = {"train": 1200, "test": 60}


def draw(colour: str, shape: str, rng: random.Random) -> Image.Image:
    """A shape of a random size at a random place."""
    picture = Image.new("RGB", (EDGE, EDGE), "white")
    radius = rng.randint(16, 26)
    x, y = (rng.randint(radius, EDGE - radius) for _ in range(2))
    ImageDraw.Draw(picture).regular_polygon((x, y, radius), SHAPES[shape], fill=COLOURS[colour])
    return picture


def row(path: Path, rng: random.Random) -> dict[str, object]:
    """Draw a picture into a file; gives its row."""
    colour, shape = rng.choice(list(COLOURS)), rng.choice(list(SHAPES))
    draw(colour, shape, rng).save(path)
    question, answer = (
        {"role": "user", "content": "<image>What is this?"},
        {"role": "assistant", "content": f"A {colour} {shape}."},
    )
    return {"messages": [question, answer], "images": [f"pictures/{path.name}"]}


def main(folder: Path) -> None:
    rng = random.Random(0)
    (folder / "pictures").mkdir(parents=True)
    for name, count in ROWS.items():
        rows = [row(folder / "pictures" / f"{name}{number}.png", rng) for number in range(count)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")
    save_seeing_model(folder / "model", "qwen3_vl")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else ".pictures"))
