"""The tables in docs/hardware.md and its Chinese page, as `tunesmith plan --table` has them.

`python docs/tools/hardware_table.py` writes them, `--check` nothing. New figures alone leave a translation fresh.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import translations
from tunesmith_library_estimates.devices import devices, plain
from tunesmith_library_estimates.hardware_table import markdown
from tunesmith_library_estimates.sizes import in_words
from writing import write_stale

PAGE = Path(__file__).resolve().parents[1] / "hardware.md"
CHINESE = translations.chinese_of(PAGE)

_IN_CHINESE = (
    ("One sequence of ", "每次前向计算一个 "),
    (" tokens in a pass, bf16, activations computed again, ", " token 的序列，bf16，激活值重新计算，"),
    ("AdamW but where another optimizer is named; ", "未注明优化器的为 AdamW；"),
    (" is ", " 为 "),
    (", 14B", "、14B"),
    (", 30B", "、30B"),
    (", 70B", "、70B"),
    (". The peak of all phases, with what torch and its libraries take themselves; ", "。数值是各阶段的峰值，"),
    ("GB are of 1024³ bytes.", "包含 torch 及其库自身所占的内存；1 GB 为 1024³ 字节。"),
    ("The smallest card that holds it, in GB:", "放得下的最小的卡，单位 GB："),
    ("| method | bits |", "| 方法 | 比特 |"),
    ("Full, mixed precision", "全参数，混合精度"),
    ("Full, `dtype", "全参数，`dtype"),
    (", layerwise", "，逐层"),
    ("QLoRA, ", "QLoRA，"),
    ("QOFT, ", "QOFT，"),
    (" GB, loaded ", " GB，加载后 "),
    ("| several", "| 多张"),
    ("| `--gpu` | memory | bf16, TFLOP/s | memory, GB/s |", "| `--gpu` | 内存 | bf16，TFLOP/s | 内存带宽，GB/s |"),
    ("| none |", "| 无 |"),
)


@cache
def tables() -> tuple[tuple[str, str], ...]:
    """Each mark and what stands behind it, which takes some seconds."""
    return ("table", markdown()), ("devices", "\n".join(listed()))


def page(file: Path) -> str:
    """A page with its tables anew."""
    text = file.read_text(encoding="utf-8")
    for mark, table in tables():
        for english, chinese in _IN_CHINESE if file == CHINESE else ():
            table = table.replace(english, chinese)
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
    """Write the pages, or only say which are stale."""
    is_translated = f"docs/{CHINESE.name}" not in translations.stale()
    stale = write_stale(((file, page(file)) for file in (PAGE, CHINESE)), check=check)
    if stale and is_translated and not check:
        translations.stamp(CHINESE)
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
