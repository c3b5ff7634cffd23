"""How an answer is measured: is the fact in it."""


def score(prediction: str, answer: str) -> dict[str, bool]:
    """`known`: the expected word or number stands in the answer, however it is said."""
    return {"known": answer in prediction}
