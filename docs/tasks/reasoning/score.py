"""How an answer is measured: is its last number the expected one."""

import re


def score(prediction: str, answer: str) -> dict[str, bool]:
    """`right`: the last number of the answer, without its thought, is the expected one."""
    numbers = re.findall(r"\d+", prediction)
    return {"right": bool(numbers) and numbers[-1] == answer}
