"""Speed and memory, measured: `make bench`. Each figure comes from a process of its own.

python tests/bench [startup] [encoding] [large] [training] [steps] [processes] [memory] [planner] [optimizers]
    [preference] [behaviour] [merging] [engine] [evaluating] [serving] [media] [webui]
"""

import os
import platform
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
BENCHMARKS = (
    "startup",
    "encoding",
    "large",
    "training",
    "steps",
    "processes",
    "memory",
    "planner",
    "optimizers",
    "preference",
    "behaviour",
    "merging",
    "engine",
    "evaluating",
    "serving",
    "media",
    "webui",
)


def main() -> None:
    wanted = sys.argv[1:] or BENCHMARKS
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    for name in wanted:
        subprocess.run([sys.executable, str(HERE / f"{name}.py")], check=True)


if __name__ == "__main__":
    main()
