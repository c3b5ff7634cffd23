"""Answers whose program passes tests, as in HumanEval (arXiv 2107.03374): the program is run.

Code that a model wrote runs on this machine, as the user who trains. It runs in a process of its own, with limits of
time, memory and file size, without the environment's variables; that keeps accidents small. It is no sandbox: files
can be read and written and the network used. Train in a container that may be lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

from tunesmith import DataError, hookimpl, plugin
from tunesmith.ranges import at_least, between, filled
from tunesmith.types import Problem


@plugin
class Code:
    """The share of tests that an answer's Python program passes. RUNS CODE THAT A MODEL WROTE, without a sandbox.

    The program is the answer's last code block. The tests are a column of the row: Python code that raises when the
    program is wrong (`assert add(1, 2) == 3`), or a list of such codes, each run after a fresh start of the program.
    """

    weight: Annotated[float, between(-1_000_000, 1_000_000)] = 1.0  # multiplies the score
    column: Annotated[str, filled] = "tests"  # of the row, with the tests
    timeout: Annotated[float, at_least(0.1, most=86_400)] = 5.0  # seconds for the program and one test
    # MiB of address space that a program may take; not on Windows
    memory: Annotated[int, at_least(64, most=16_777_216)] = 512
    workers: Annotated[int, at_least(1, most=1_024)] = 4  # programs that run at the same time
    all_or_nothing: bool = False  # score 1 only when all tests pass, else 0

    @hookimpl
    def check(self, plan: Any) -> list[Problem]:
        message = "runs programs that the model writes on this machine, with your rights and without a sandbox."
        advice = "train in a container without secrets and, if you can, without network"
        return [Problem("reward.code", message, advice, severity="warning")]

    @hookimpl
    def score(self, completions: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> list[float]:
        from .running import Limits, passes, program_of

        limits = Limits(self.timeout, self.memory)
        tests = [self._tests(row) for row in rows]
        programs = [program_of(answer) for answer in completions]
        runs = [(p, test) for p, some in zip(programs, tests, strict=True) for test in some]
        with ThreadPoolExecutor(self.workers) as pool:
            passed = iter(list(pool.map(lambda run: run[0] is not None and passes(run[0], run[1], limits), runs)))
        shares = [sum(next(passed) for _ in some) / len(some) for some in tests]
        return [float(share == 1.0) if self.all_or_nothing else share for share in shares]

    def _tests(self, row: Mapping[str, Any]) -> list[str]:
        value = row.get(self.column)
        tests = [value] if isinstance(value, str) else value
        if not isinstance(tests, list) or not tests or not all(isinstance(test, str) for test in tests):
            found = ", ".join(sorted(row)) or "no columns"
            raise DataError(
                f"reward.code: a row has no tests in {self.column} (text or list of texts); it has {found}."
            )
        return tests
