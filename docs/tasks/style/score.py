"""How an answer is measured: is it in the style, and is its content that of the plain answer."""


def score(prediction: str, answer: str) -> dict[str, bool]:
    """`styled`: the words of the style are there; `right`: so is the plain answer, but for its full stop."""
    styled = prediction.startswith("Aye, captain!") and prediction.endswith("Fair winds!")
    return {"styled": styled, "right": answer.rstrip(".") in prediction}
