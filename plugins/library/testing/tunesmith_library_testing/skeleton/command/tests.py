from click.testing import CliRunner
from tunesmith_command_placeholder import Placeholder
from tunesmith_library_testing import CommandSuite


class TestPlaceholder(CommandSuite):
    plugin = Placeholder


def test_counts_bytes(tmp_path):
    (tmp_path / "checkpoint-2").mkdir()
    (tmp_path / "checkpoint-2" / "weights").write_bytes(b"x" * 1234)
    result = CliRunner().invoke(Placeholder().command(), [str(tmp_path)])
    assert result.output.split() == ["1,234", "checkpoint-2"]
