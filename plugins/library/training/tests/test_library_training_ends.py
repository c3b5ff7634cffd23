"""The end of a run that goes on."""

import json
from types import SimpleNamespace

import pytest
from tunesmith_library_training.ends import end_problems


@pytest.mark.parametrize(
    ("steps", "epochs", "said"),
    [
        (3, 9.0, "steps=3: the run has done 4 steps already"),
        (4, 0.5, None),  # its result is saved
        (9, 0.5, None),
        (-1, 1.0, "epochs=1.0: the run has done 1.5 epochs already"),
        (-1, 1.5, None),
        (3, None, "steps=3: the run has done 4 steps already"),
    ],
)
def test_it_is_not_before_where_the_run_is(tmp_path, steps, epochs, said):
    folder = tmp_path / "checkpoint-4"
    folder.mkdir()
    (folder / "trainer_state.json").write_text(json.dumps({"epoch": 1.5}))
    asked = ("steps", steps), ("epochs", epochs) if epochs else None
    found = end_problems(SimpleNamespace(resumed=folder), *asked)
    assert [problem.message.partition(", as")[0] for problem in found] == ([said] if said else [])
    assert end_problems(SimpleNamespace(resumed=None), *asked) == []


def test_what_nobody_knows_is_no_problem(tmp_path):
    plan = SimpleNamespace(resumed=tmp_path / "checkpoint-4")
    assert end_problems(plan, ("steps", -1), ("epochs", 1.0)) == []
