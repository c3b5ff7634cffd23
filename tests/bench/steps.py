"""The processor seconds of an optimizer step, beside transformers' Trainer, TRL and LLaMA-Factory: LoRA, one thread.

python tests/bench/steps.py, with the environment variables

    CASES                    some of them, such as "7M sft 4x2,42M dpo 2x4" (batch x accumulation)
    STEPS, PASSES, TURNS     different steps (2 of the 7M model's SFT, else 1), how often a run makes each (2), runs (1)
    JOBS                     processes at a time (2), each of one thread
    TUNESMITH_LLAMAFACTORY   the Python of an environment with LLaMA-Factory, which is measured too
    RESULTS                  a file that gets each figure as a line of JSON (bench-results/steps.jsonl)

Every program makes the same steps: same examples in the same order, same initial weights and adapter; losses are
compared. A step counts with the least seconds that it took in any pass and turn, which leaves out most of what else the
machine did.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from steps_cases import MODELS, SHAPES, Case, prepare
from steps_products import seconds

HERE = Path(__file__).parent
LARGEST = 1e-3  # difference of losses in fp32
TYPES = ("fp32", "bf16")
THEIRS = os.environ.get("TUNESMITH_LLAMAFACTORY", "")
RESULTS = Path(os.environ.get("RESULTS", "bench-results/steps.jsonl"))


@dataclass
class Figure:
    """What one program needed for one case."""

    case: Case
    program: str  # ours, trainer or llamafactory
    precision: str  # fp32, bf16, or auto, which is Tunesmith's default
    checkpointing: bool = False  # of activations
    told: list[dict[str, Any]] = field(default_factory=list)  # of each turn

    def step(self) -> float:
        """Processor seconds of a step, the mean of the different ones, of each the least over passes and turns."""
        steps = self.case.steps
        best = [min(took for told in self.told for took in told["cpu"][place::steps]) for place in range(steps)]
        return sum(best) / steps

    def share(self, kind: str) -> float:
        """Of the time of the step under the profiler, which is longer by that, its `products` or fused `attention`."""
        quietest = min(self.told, key=lambda told: float(told["profiled"]))
        return float(quietest[kind]) / float(quietest["profiled"])

    def losses(self) -> tuple[float, float]:
        """The first and the last of the measured steps."""
        losses = self.told[0]["losses"]
        return losses[0], losses[self.case.steps * self.case.passes - 1]

    def peak(self) -> int:
        """MiB of the process."""
        return min(int(told["peak"]) for told in self.told)


def main() -> None:
    cases = list(chosen())
    turns, jobs = int(os.environ.get("TURNS", "1")), int(os.environ.get("JOBS", "2"))
    figures = [figure for case in cases for figure in asked(case)]
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text("")
    print(
        "steps: LoRA of rank 8 on all linear layers of a Llama, V = 32,000, real instructions, one thread", flush=True
    )
    begun = time.time()
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(jobs) as pool:
        scratch = Path(name)
        prepare(scratch, cases)
        kinds = [(model, precision) for model in MODELS for precision in TYPES if any(c.model == model for c in cases)]
        measured = {kind: pool.submit(run, "steps_products.py", *kind) for kind in kinds}
        speeds = {kind: future.result() for kind, future in measured.items()}
        finish(pool, [pool.submit(measure, figure, scratch) for _ in range(turns) for figure in figures])
        products = {
            (case, precision): seconds(case, case.encoded(scratch), speeds[case.model, precision]) / case.steps
            for case in cases
            for precision in TYPES
        }
    show_time(cases, figures, products)
    show_memory(cases, figures)
    agree = show_losses(cases, figures)
    print(f"\n{time.time() - begun:.0f} s; each figure is in {RESULTS}\n")
    sys.exit(not agree)


def finish(pool: ThreadPoolExecutor, runs: list[Future[None]]) -> None:
    """Wait for all of them; once one has failed, no other begins."""
    try:
        for run in runs:
            run.result()
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise


def chosen() -> Iterator[Case]:
    wanted = [name.strip() for name in os.environ.get("CASES", "").split(",") if name.strip()]
    for model in MODELS:
        for stage, shapes in SHAPES.items():
            quick = (model, stage) == ("7M", "sft")
            steps, passes = int(os.environ.get("STEPS", 1 + quick)), int(os.environ.get("PASSES", "2"))
            for shape in shapes:
                case = Case(model, stage, shape, steps, passes)
                if not wanted or case.name in wanted:
                    yield case


def asked(case: Case) -> list[Figure]:
    """Of each type Tunesmith, then the others, so that what is compared is measured in the same minute."""
    figures = []
    for precision in TYPES:
        figures.append(Figure(case, "ours", precision))
        if THEIRS:
            figures.append(Figure(case, "llamafactory", precision, checkpointing=True))
        figures.append(Figure(case, "trainer", precision))
    return [*figures, Figure(case, "ours", "fp32", checkpointing=True), Figure(case, "ours", "auto")]


def measure(figure: Figure, scratch: Path) -> None:
    """One run of it, in a process of its own."""
    python = THEIRS if figure.program == "llamafactory" else sys.executable
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        job = {**asdict(figure.case), "scratch": str(scratch), "output": f"{folder}/run"}
        job |= {"precision": figure.precision, "checkpointing": figure.checkpointing}
        figure.told.append(run("steps_programs.py", figure.program, json.dumps(job), python=python))
    line = {
        **asdict(figure.case),
        **{name: getattr(figure, name) for name in ("program", "precision", "checkpointing")},
    }
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps({**line, "step": figure.step(), **figure.told[-1]}) + "\n")


def run(script: str, *arguments: str, python: str = sys.executable) -> Any:
    """What a script prints as its last line, JSON."""
    quiet = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    environment = {**os.environ, **quiet, "DISABLE_VERSION_CHECK": "1", "PYTHONPATH": ""}
    command = [python, str(HERE / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout[-1000:]}{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


# ---- what is printed -------------------------------------------------------------------------------------------------


def found(
    figures: list[Figure], case: Case, program: str, precision: str, checkpointing: bool | None = None
) -> Figure | None:
    """A figure; of a program that does both with either checkpointing when None."""
    for figure in figures:
        same = (figure.case, figure.program, figure.precision) == (case, program, precision)
        if same and checkpointing in (None, figure.checkpointing):
            return figure
    return None


def show_time(cases: list[Case], figures: list[Figure], products: dict[tuple[Case, str], float]) -> None:
    print(
        "\n| | type | Tunesmith, CPU-s | Trainer or TRL | LLaMA-Factory | of the products' speed | in products "
        "| with attention | checkpointed |\n|---|---|---|---|---|---|---|---|---|"
    )
    for case in cases:
        for precision in (*TYPES, "auto"):
            theirs = "fp32" if precision == "auto" else precision
            ours = found(figures, case, "ours", precision)
            assert ours is not None
            cells = [case.name, "default" if precision == "auto" else precision, f"{ours.step():.3f}"]
            cells += [ratio(found(figures, case, program, theirs), ours) for program in ("trainer", "llamafactory")]
            if precision == "auto":
                cells += [""] * 4
            else:
                inside = ours.share("products")
                cells += [f"{products[case, precision] / ours.step():.0%}", f"{inside:.0%}"]
                cells += [f"{inside + ours.share('attention'):.0%}"]
                again = found(figures, case, "ours", precision, checkpointing=True)
                cells.append("" if again is None else _beside(found(figures, case, "llamafactory", theirs), again))
            print(f"| {' | '.join(cells)} |")


def _beside(theirs: Figure | None, ours: Figure) -> str:
    return f"{ours.step():.3f}" + ("" if theirs is None else f" ({theirs.step() / ours.step():.2f} ×)")


def ratio(theirs: Figure | None, ours: Figure) -> str:
    return "" if theirs is None else f"{theirs.step():.3f} ({theirs.step() / ours.step():.2f} ×)"


def show_memory(cases: list[Case], figures: list[Figure]) -> None:
    print(
        "\n| peak MiB | type | Tunesmith | checkpointed | Trainer or TRL | LLaMA-Factory |\n|---|---|---|---|---|---|"
    )
    for case in cases:
        for precision in TYPES:
            row = [
                found(figures, case, "ours", precision, checkpointing=False),
                found(figures, case, "ours", precision, checkpointing=True),
                found(figures, case, "trainer", precision),
                found(figures, case, "llamafactory", precision),
            ]
            cells = [f"{figure.peak():,}" if figure else "" for figure in row]
            print(f"| {case.name} | {precision} | {' | '.join(cells)} |")


def show_losses(cases: list[Case], figures: list[Figure]) -> bool:
    """Print how far first and last losses are apart, and say whether those in fp32 agree."""
    agree = True
    print("\n| losses, first and last | type | Tunesmith | largest difference of another |\n|---|---|---|---|")
    for case in cases:
        for precision in TYPES:
            same = [figure for figure in figures if (figure.case, figure.precision) == (case, precision)]
            first, last = same[0].losses()
            worst = max(abs(a - b) for figure in same for a, b in zip(figure.losses(), (first, last), strict=True))
            agree = agree and (precision != "fp32" or worst <= LARGEST)
            print(f"| {case.name} | {precision} | {first:.4f}, {last:.4f} | {worst:.1e} |")
    return agree


if __name__ == "__main__":
    main()
