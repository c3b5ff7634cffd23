"""The tables in docs/hardware.md, as `tunesmith plan --table` has them.

`python docs/hardware_table.py` writes them; `--check` writes nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from tunesmith_library_estimates.devices import devices, plain
from tunesmith_library_estimates.hardware_table import markdown
from tunesmith_library_estimates.sizes import in_words

PAGE = Path(__file__).resolve().parent / "hardware.md"


def page() -> str:
    """The page with its tables anew."""
    text = PAGE.read_text(encoding="utf-8")
    for mark, table in (("table", markdown()), ("devices", "\n".join(listed()))):
        start, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
        before, _, rest = text.partition(start)
        text = f"{before}{start}\n\n{table}\n\n{end}{rest.partition(end)[2]}"
    return text


def listed() -> Iterator[str]:
    """The devices by name, with what is known of them."""
    yield "| `--gpu` | memory | bf16, TFLOP/s | memory, GB/s |"
    yield "|---|---|---|---|"
    for device in devices():
        rate = device.flops.get("bf16", 0) / 1e12
        products = f"{rate:,.0f}" if rate else "none"
        memory = in_words(device.memory)
        yield f"| `{plain(device.name)}` | {memory} | {products} | {device.bandwidth / 1e9:,.0f} |"


def main(check: bool) -> int:
    """Write the page, or only say that it is stale."""
    text = page()
    if PAGE.read_text(encoding="utf-8") == text:
        return 0
    if check:
        print("stale, run make generate: docs/hardware.md")
        return 1
    PAGE.write_text(text, encoding="utf-8")
    print("written: docs/hardware.md")
    return 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
