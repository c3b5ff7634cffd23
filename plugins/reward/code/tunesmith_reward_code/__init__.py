"""Answers whose program passes tests, as in HumanEval (arXiv 2107.03374): the program is run.

The program is code that a model wrote, and whoever is rewarded for passing tests learns every way to pass them. So the
test runs in one process and the program in another, which is asked for values and decides nothing; and both run apart
from the rest of the machine, as far as it allows that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from tunesmith import DataError, hookimpl, plugin
from tunesmith.messages import announce
from tunesmith.ranges import at_least, between, filled
from tunesmith.types import Problem

if TYPE_CHECKING:
    from .running import Isolation

_MEANING = {
    "namespaces": "namespaces of Linux: no network, no files beside Python's, no other process",
    "bubblewrap": "bubblewrap: no network, no files beside Python's, no other process",
    "landlock": "Landlock and seccomp: no network, no files beside Python's and a folder; other processes can be seen",
    "process": "plain processes, with limits of time and memory only",
}


@plugin
class Code:
    """The share of tests that an answer's Python program passes. Runs code that a model wrote, isolated where possible.

    The program is the answer's last code block. The tests are a column of the row: Python code that raises when the
    program is wrong (`assert add(1, 2) == 3`), or a list of such codes, each run after a fresh start of the program.
    """

    guarded: ClassVar[tuple[str, ...]] = ("isolation",)

    weight: Annotated[float, between(-1_000_000, 1_000_000)] = 1.0  # multiplies the score
    column: Annotated[str, filled] = "tests"  # of the row, with the tests
    timeout: Annotated[float, at_least(0.1, most=86_400)] = 5.0  # seconds for the program and one test
    # MiB of address space that a program may take; not on Windows
    memory: Annotated[int, at_least(64, most=16_777_216)] = 512
    workers: Annotated[int, at_least(1, most=1_024)] = 4  # programs that run at the same time
    all_or_nothing: bool = False  # score 1 only when all tests pass, else 0

    # auto: in namespaces of Linux, else by bubblewrap or Landlock, else in plain processes; required: not in those
    isolation: Literal["auto", "required", "none"] = "auto"

    @hookimpl
    def check(self, plan: Any) -> list[Problem]:
        if self._isolation() != "process":
            return []
        message = "runs programs that the model writes on this machine, with your rights and without a sandbox."
        if self.isolation == "none":
            return [Problem("reward.code.isolation", message, "choose isolation=auto", severity="warning")]
        reason = "neither namespaces of users nor bubblewrap nor Landlock can be used here"
        advice = f"{reason}; train in a container without secrets and, if you can, without network"
        severity: Literal["error", "warning"] = "error" if self.isolation == "required" else "warning"
        return [Problem("reward.code", message, advice, severity=severity)]

    @hookimpl
    def configured(self, plan: Any) -> None:
        announce("isolation of programs", _MEANING[self._isolation()], f"reward.code.isolation={self.isolation}")

    @hookimpl
    def score(self, completions: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> list[float]:
        from .running import Limits, passes, program_of

        limits, isolation = Limits(self.timeout, self.memory), self._isolation()
        tests = [self._tests(row) for row in rows]
        programs = [program_of(answer) for answer in completions]
        runs = [(p, test) for p, some in zip(programs, tests, strict=True) for test in some]
        with ThreadPoolExecutor(self.workers) as pool:
            passed = iter(
                list(pool.map(lambda run: run[0] is not None and passes(run[0], run[1], limits, isolation), runs))
            )
        shares = [sum(next(passed) for _ in some) / len(some) for some in tests]
        return [float(share == 1.0) if self.all_or_nothing else share for share in shares]

    def _isolation(self) -> Isolation:
        from .running import best_isolation

        return "process" if self.isolation == "none" else best_isolation()

    def _tests(self, row: Mapping[str, Any]) -> list[str]:
        """Raises: DataError for a row without tests, or with one that tells no program from another."""
        from .soundness import fault_of

        value = row.get(self.column)
        tests = [value] if isinstance(value, str) else value
        if not isinstance(tests, list) or not tests or not all(isinstance(test, str) for test in tests):
            found = ", ".join(sorted(row)) or "no columns"
            raise DataError(
                f"reward.code: a row has no tests in {self.column} (text or list of texts); it has {found}.\n"
                f"  keep the file's column: data.train=[{{path: FILE, keep: [{self.column}]}}], or set .column"
            )
        for number, test in enumerate(tests, start=1):
            if fault := fault_of(test):
                raise DataError(
                    f"reward.code: test {number} of {len(tests)} in {self.column} of a row {fault}.\n"
                    f"  the row's first test: {tests[0][:200]!a}\n"
                    "  mend or leave out the row; a test that is to see only whether the program starts is: pass"
                )
        return tests
