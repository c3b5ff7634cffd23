"""Texts that tokenizers often read in different ways: blanks, numbers, other scripts, code."""

SAMPLES = (
    "",
    " a  b\n\n\tc ",
    "Hello, World! 3.14159 e-5",
    "¿Qué? 你好, мир \U0001f600",
    "def f(x):\n    return x**2",
)
