import json

from click.testing import CliRunner
from command_best import Best
from tunesmith_library_testing import CommandSuite


class TestBest(CommandSuite):
    plugin = Best
    one_file = True


def test_the_best_run_comes_first(tmp_path):
    for name, losses in {"a": [2.0, 1.5, 1.75], "b": [1.25, 3.0]}.items():
        (tmp_path / name).mkdir()
        lines = [json.dumps({"event": "evaluation", "step": at, "eval_loss": loss}) for at, loss in enumerate(losses)]
        (tmp_path / name / "metrics.jsonl").write_text("\n".join(lines))
    runs = [str(tmp_path / name) for name in "ab"]
    printed = CliRunner().invoke(Best().command(), runs).output.splitlines()
    assert [line.split()[:3] for line in printed] == [["1.2500", "step", "0"], ["1.5000", "step", "1"]]
    wrong = CliRunner().invoke(Best().command(), [*runs, "--metric", "eval_acc"])
    assert wrong.exit_code == 1 and "choose another --metric" in wrong.output
