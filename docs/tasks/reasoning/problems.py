"""Write word problems of two steps: half of those for training are worked out in a thought, half only answered.

`python docs/tasks/reasoning/problems.py FOLDER` writes FOLDER/train.jsonl and FOLDER/test.jsonl.
"""

import json
import random
import sys
from pathlib import Path


def _words(text: str) -> list[str]:
    return text.split()


NAMES = _words("Anna Ben Clara David Emma Felix Grace Henry Ida Jack Kate Leo Mary Nina Oscar Paul")
THINGS = _words("apples pears plums lemons eggs coins stamps books cards shells")
ASKED = "How many has {} now?"


def problem(rng: random.Random) -> tuple[str, str, int]:
    """Give a question, how it is worked out, and its answer."""
    name, thing = rng.choice(NAMES), rng.choice(THINGS)
    first, second = rng.randint(3, 7), rng.randint(2, 5)
    third = rng.randint(2, min(first - 1, 5))
    if rng.random() < 0.5:
        middle = first + second
        said, steps = f"gets {second} and gives {third} away", f"{first} + {second} = {middle}\n{middle} - {third} = "
    else:
        middle = first - third
        said, steps = f"gives {third} away and gets {second}", f"{first} - {third} = {middle}\n{middle} + {second} = "
    result = first + second - third
    return f"{name} has {first} {thing}, {said}. {ASKED.format(name)}", f"{steps}{result}", result


def rows(count: int, seed: int, training: bool) -> list[dict[str, object]]:
    """Give rows with the column `messages`; for training every other one has a thought, and says so."""
    rng, made = random.Random(seed), []
    for number in range(count):
        question, steps, result = problem(rng)
        answer = {"role": "assistant", "content": str(result)}
        row: dict[str, object] = {"messages": [{"role": "user", "content": question}, answer]}
        if training:
            row["enable_thinking"] = number % 2 == 0
            if number % 2 == 0:
                answer["reasoning"] = steps
        made.append(row)
    return made


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, some in {"train": rows(240, 0, True), "test": rows(200, 1, False)}.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
