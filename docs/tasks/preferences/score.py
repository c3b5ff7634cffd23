"""What of an answer is as people like it: bright colours alone, and as many as in the answer that was expected."""

DARK = {"black", "brown", "grey"}


def score(prediction: str, answer: str) -> dict[str, bool]:
    named = [line.removeprefix("- ") for line in prediction.splitlines()]
    return {"bright": not DARK & set(named), "as_many": len(named) == len(answer.splitlines())}
