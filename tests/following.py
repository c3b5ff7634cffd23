"""A small language of questions and answers, which a tiny model can learn: the word that follows a number."""

import random

WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]


def questions(count: int, seed: int = 0) -> list[tuple[str, str, str]]:
    """Questions with a right and a wrong answer, which a tiny model can learn: the word that follows a number."""
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        number = rng.randrange(9)
        wrong = rng.choice([word for word in WORDS if word != WORDS[number + 1]])
        found.append((f"What follows {WORDS[number]}?", f"It is {WORDS[number + 1]}.", f"It is {wrong}."))
    return found
