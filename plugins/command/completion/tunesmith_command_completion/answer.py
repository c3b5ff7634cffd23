"""What completion gives."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """One word that can come next; it ends with `=`, `.` or `/` where more follows without a space."""

    value: str
    help: str = ""
