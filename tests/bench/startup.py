"""How long the command line takes to answer."""

import statistics
import subprocess
import sys
import time

CASES = {
    "python -c pass": ["-c", "pass"],
    "tunesmith --help": ["-c", "from tunesmith.cli import main; main()", "--help"],
    "tunesmith train --help": ["-c", "from tunesmith.cli import main; main()", "train", "--help"],
    "tunesmith plugins show adapter.lora": [
        "-c",
        "from tunesmith.cli import main; main()",
        "plugins",
        "show",
        "adapter.lora",
    ],
}


def main() -> None:
    print("start-up, median of 11 (s)")
    for label, arguments in CASES.items():
        times = []
        for _ in range(11):
            start = time.perf_counter()
            subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
            times.append(time.perf_counter() - start)
        print(f"  {label:40} {statistics.median(times):6.3f}   (min {min(times):.3f}, max {max(times):.3f})")
    print()


if __name__ == "__main__":
    main()
