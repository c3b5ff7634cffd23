"""Logs of any length, read in parts."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tunesmith_library_studio.jobs.logs import read_part


def test_parts_join_to_the_whole_and_progress_bars_are_folded(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes("eins\n 10%\r 20%\r 30%\nzwei é\n 1%\r 2%".encode())
    part = read_part(log)
    assert part.text == "eins\n 30%\nzwei é\n" and part.unfinished == " 2%" and part.start == 0
    with log.open("ab") as file:
        file.write(b"\r 3%\nthree\n")
    later = read_part(log, part.offset)
    assert (later.text, later.unfinished) == (" 3%\nthree\n", "") and later.offset == later.size
    assert read_part(log, later.offset).text == "" and read_part(log, 10**9).offset == later.size
    assert read_part(tmp_path / "none").size == 0


def test_small_parts_cut_no_line_and_no_letter(tmp_path: Path) -> None:
    log = tmp_path / "log"
    lines = [f"zeile {number} äöü\n" for number in range(200)]
    log.write_text("".join(lines), encoding="utf-8")
    offset, text = 0, ""
    while offset < log.stat().st_size:
        part = read_part(log, offset, limit=64)
        offset, text = part.offset, text + part.text
    assert text == "".join(lines)
    assert "".join(lines).endswith(read_part(log, limit=64).text)


def test_a_line_longer_than_a_part_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"".join(b"%d%%\r" % number for number in range(100)) + b"end\n")
    offset, parts = 0, []
    while offset < log.stat().st_size:
        part = read_part(log, offset, limit=32)
        assert part.offset > offset
        offset = part.offset
        parts.append(part.text)
    assert parts[-1].endswith("end\n")


def test_a_gigabyte_is_not_read_whole(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as file:
        file.seek(1 << 30)
        file.write(b"\nthe end\n")
    began = time.process_time()
    part = read_part(log)
    assert part.text.endswith("the end\n") and time.process_time() - began < 0.5
    assert os.stat(log).st_size == part.size
