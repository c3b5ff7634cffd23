"""A small made-up corpus, so that the demo's base model can write English sentences before it is tuned."""

import random
from collections.abc import Iterator

PLACES = ("harbour", "forest", "workshop", "garden", "market", "library", "valley", "kitchen", "station", "mill")
ANIMALS = ("fox", "heron", "cat", "horse", "owl", "hare", "goat", "swan", "otter", "bee")
COLOURS = ("red", "blue", "green", "grey", "white", "golden", "brown", "black")
THINGS = ("lamp", "rope", "basket", "clock", "kettle", "letter", "bell", "ladder", "wheel", "map")
VERBS = ("carries", "watches", "finds", "hides", "follows", "mends", "paints", "keeps")
TIMES = ("In the morning", "At noon", "In the evening", "At night", "After the rain", "Before winter")
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def _sentence(rng: random.Random) -> str:
    colour, animal, thing, place = map(rng.choice, (COLOURS, ANIMALS, THINGS, PLACES))
    return rng.choice(
        (
            f"{rng.choice(TIMES)} the {animal} {rng.choice(VERBS)} a {colour} {thing} in the {place}.",
            f"The {thing} in the {place} is {colour}.",
            f"A {colour} {animal} lives near the {place}.",
            f"Nobody in the {place} knows who made the {thing}.",
        )
    )


def _question(rng: random.Random) -> tuple[str, str]:
    a, b = rng.randrange(6), rng.randrange(5)
    colour, animal, thing, place = map(rng.choice, (COLOURS, ANIMALS, THINGS, PLACES))
    return rng.choice(
        (
            (f"What is {NUMBERS[a]} plus {NUMBERS[b]}?", f"{NUMBERS[a]} plus {NUMBERS[b]} is {NUMBERS[a + b]}."),
            (f"Where is the {thing}?", f"The {thing} is in the {place}."),
            (f"Who lives in the {place}?", f"A {colour} {animal} lives in the {place}."),
            (f"What colour is the {animal}?", f"The {animal} is {colour}."),
            (f"Can you see the {thing}?", f"I can see the {thing} near the {place}."),
            (f"Do you know what the {animal} {rng.choice(VERBS)}?", f"The {animal} has a {colour} {thing}."),
        )
    )


def documents(count: int, seed: int = 0) -> Iterator[str]:
    """Short documents: half of them sentences, half of them conversations in ChatML."""
    rng = random.Random(seed)
    for number in range(count):
        if number % 2:
            yield " ".join(_sentence(rng) for _ in range(rng.randint(3, 8)))
        else:
            turns = (_question(rng) for _ in range(rng.randint(1, 3)))
            yield "".join(
                f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n{answer}<|im_end|>\n"
                for question, answer in turns
            )
