"""The figures, each in a process of its own that must end in time: `python figures.py OUT SECONDS [--dry] [NAME …]`."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from cases import CASES, Case
from shapes import SHAPES, TINY, save, write_rows

LEAST = 12.0  # seconds that must be left for a figure to be begun


def main() -> None:
    out, end = Path(sys.argv[1]), time.monotonic() + float(sys.argv[2])
    dry, wanted = "--dry" in sys.argv, [name for name in sys.argv[3:] if not name.startswith("--")]
    chosen = [case for case in CASES if not wanted or case.name.startswith(tuple(wanted))]
    (out / "logs").mkdir(parents=True, exist_ok=True)
    memory = Path("/dev/shm")  # where weights of 16 GB are written and read within seconds
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() and not dry else None) as scratch:
        folder = Path(scratch)
        run = Runner(out, end, dry, folder)
        run.result("machine", 40.0, {})
        write_rows(folder, *((16, 12) if dry else (128, 900)))
        for case in chosen:
            if not (folder / case.shape).exists():
                run.result("model", 90.0, {"case": case.shape})
            for who in ("ours", "theirs"):
                if who == "ours" or case.theirs:
                    run.result(who, case.seconds, {"case": case.name})
    table = table_of(run.found)
    (out / "table.md").write_text(table)
    print(table)


class Runner:
    """Runs one figure after the other, and writes what came of each."""

    def __init__(self, out: Path, end: float, dry: bool, folder: Path) -> None:
        self.out, self.end, self.dry, self.folder = out, end, dry, folder
        self.found: list[dict[str, Any]] = []
        self.processes = multiprocessing.get_context(_way())

    def result(self, who: str, seconds: float, named: dict[str, str]) -> None:
        """Run, for `seconds` at most, and write the result or what went wrong."""
        left, began = self.end - time.monotonic(), time.monotonic()
        told = {"step": who, **named}
        if left < LEAST:
            self._report({**told, "failed": "not run: no time is left"})
            return
        name = "-".join([*named.values(), who]).replace(" ", "-")
        log, answer = self.out / "logs" / f"{name}.log", self.folder / f"{name}.json"
        arguments = (who, named.get("case", ""), str(self.folder), self.dry, str(answer), str(log))
        process = self.processes.Process(target=measured, args=arguments)
        process.start()
        process.join(min(seconds, left))
        if process.is_alive():
            process.kill()
            process.join()
            self._report({**told, "failed": f"took longer than {min(seconds, left):.0f} s"})
        elif answer.is_file():
            self._report({**told, **json.loads(answer.read_text()), "took": round(time.monotonic() - began, 1)})
        else:
            last = log.read_text(errors="replace").strip().splitlines()[-1:] if log.is_file() else []
            self._report({**told, "failed": "".join(last)[-300:] or f"exit code {process.exitcode}"})

    def _report(self, told: dict[str, Any]) -> None:
        self.found.append(told)
        line = json.dumps(told)
        print(line, flush=True)
        with (self.out / "results.jsonl").open("a") as file:
            file.write(line + "\n")


def _way() -> str:
    """Processes are forks of this one, which imports once for all, unless an import has taken hold of the device."""
    with contextlib.suppress(ImportError):
        import datasets  # noqa: F401
        import torch
        import transformers  # noqa: F401
        import tunesmith_trainer_transformers.loop  # noqa: F401

        return "spawn" if torch.cuda.is_initialized() else "fork"
    return "spawn"


def measured(who: str, name: str, folder: str, dry: bool, answer: str, log: str) -> None:
    """What a process does: measure one figure, its output in a file."""
    with open(log, "w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            found = _measure(who, name, Path(folder), dry)
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
        Path(answer).write_text(json.dumps(found))
        os._exit(0)  # whatever an engine or a loader still runs


def _measure(who: str, name: str, folder: Path, dry: bool) -> dict[str, Any]:
    import ours
    import theirs
    from measuring import DRY, REAL, memory, products

    plan = DRY if dry else REAL
    if who == "machine":
        return products(plan.device)
    if who == "model":
        save(folder / name, TINY if dry else SHAPES[name], plan.device)
        return {}
    case = next(case for case in CASES if case.name == name)
    shape = TINY if dry else SHAPES[case.shape]
    program = ours if who == "ours" else theirs
    output = folder / "out" / f"{who}-{name.replace(' ', '-')}"
    if case.kind == "generation":
        found = program.generate(case, folder, plan, output)
        return {**found, "tokens_per_second": found["tokens"] / found["seconds"], **memory(plan.device)}
    found = program.train(case, folder, plan, output)
    shutil.rmtree(output, ignore_errors=True)
    step = case.batch * case.accumulation
    tokens = sum(_counted(case, folder, plan, output)[step * plan.warm : step * plan.steps])
    speed = tokens / found["seconds"]
    if case.kind == "sft":  # frozen weights get no gradient: 4 instead of 6 operations per weight and token
        found["tflops"] = speed * (6 if case.ours["adapter"]["name"] == "full" else 4) * shape.matrices / 1e12
    return {**found, "tokens": tokens, "tokens_per_second": speed, **memory(plan.device)}


def _counted(case: Case, folder: Path, plan: Any, output: Path) -> list[int]:
    from ours import lengths

    found = lengths(case, folder, plan, output)
    return found * (1 + case.batch * case.accumulation * plan.steps // len(found))


def table_of(found: list[dict[str, Any]]) -> str:
    """Ours beside theirs: tokens per second, share of the machine's products, and memory."""
    machine = next((told for told in found if told["step"] == "machine"), {})
    peak = machine.get("bf16_tflops")
    told = f"{peak:.0f} TFLOP/s in bf16 products" if peak else "speed of products unknown"
    lines = [f"{machine.get('device', '?')}, torch {machine.get('torch', '?')}, {told}", ""]
    lines += ["| | | tokens/s | of its products | GiB at the most | |", "|---|---|---|---|---|---|"]
    for entry in found:
        if entry["step"] not in ("ours", "theirs"):
            continue
        most = next((entry[name] for name in ("reserved_gib", "resident_gib") if name in entry), None)
        share = f"{entry['tflops'] / peak:.0%}" if peak and "tflops" in entry else ""
        speed = f"{entry['tokens_per_second']:,.0f}" if "tokens_per_second" in entry else ""
        size = "" if most is None else f"{most:.1f}"
        lines.append(f"| {entry['case']} | {entry['step']} | {speed} | {share} | {size} | {entry.get('failed', '')} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
