import shutil
import sys

import pytest
from parallel_pinned import Pinned
from tunesmith_library_testing import ParallelSuite

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("taskset") is None, reason="needs taskset, of Linux"),
]


class TestPinned(ParallelSuite):
    plugin = Pinned
    one_file = True
    options = {"processes": 2}


def test_no_core_is_shared(tmp_path, monkeypatch):
    monkeypatch.setattr("parallel_pinned.os.cpu_count", lambda: 2)
    program = (
        "import os, pathlib, sys; "
        "pathlib.Path(sys.argv[1], os.environ['RANK']).write_text(str(sorted(os.sched_getaffinity(0))))"
    )
    assert TestPinned.make().launch([sys.executable, "-c", program, str(tmp_path)]) == 0
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"0": "[0]", "1": "[1]"}
