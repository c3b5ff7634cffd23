"""What of an answer is right: "A red circle." has a colour and a shape."""


def score(prediction: str, answer: str) -> dict[str, bool]:
    said, right = prediction.rstrip(".").split(), answer.rstrip(".").split()
    return {"colour": said[1:2] == right[1:2], "shape": said[2:3] == right[2:3]}
