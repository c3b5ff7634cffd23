import sys

from tunesmith_library_testing import ParallelSuite
from tunesmith_parallel_placeholder import Placeholder


class TestPlaceholder(ParallelSuite):
    plugin = Placeholder


def test_as_many_as_asked_for(tmp_path):
    program = f"import os, pathlib; pathlib.Path({str(tmp_path)!r}, os.environ['RANK']).touch()"
    assert Placeholder(processes=3).launch([sys.executable, "-c", program]) == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == ["0", "1", "2"]
