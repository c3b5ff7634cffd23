"""Private plugins: a class or a function in one file that the user names."""

import hashlib
import logging
import textwrap

import pytest
from tunesmith.assemble import assemble, examine
from tunesmith.catalog import Catalog
from tunesmith.compose import compose
from tunesmith.errors import ConfigError
from tunesmith.pipeline import train
from tunesmith.runs import lock_lines

CONFIG = {"model": {"path": "org/tiny"}, "data": {"train": ["train.json"]}}
LOSS = """
from tunesmith import hookimpl, plugin
from tunesmith.types import LossOutput

@plugin
class Mine:
    '''Another loss.'''

    scale: float = 1.0  # of the loss

    @hookimpl
    def compute_loss(self, model, batch):
        return LossOutput(loss=self.scale, num_items=1.0)

def ours(model, batch):
    return LossOutput(loss=7.0, num_items=1.0)

SIZE = 3
"""
REWARDS = """
def polite(completions):
    return [float("please" in text) for text in completions]
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "my_loss.py"
    path.write_text(LOSS)
    return path


def test_a_class_in_a_file_with_its_options(catalog, file, caplog):
    caplog.set_level(logging.INFO, "tunesmith")
    run = assemble(compose(CONFIG, ["loss=my_loss.py:Mine", "loss.scale=3"]), "train", catalog)
    assert run.hook.compute_loss(model=None, batch={}).loss == 3.0
    assert run.plan.get("loss.scale") == 3.0 and run.plan.uses("loss")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert f"loss: my_loss.py:Mine (your file, sha256:{digest[:12]}" in caplog.text
    assert f"# loss={file}:Mine sha256:{digest}" in lock_lines(run.plan)


def test_a_function_is_the_one_hook_of_its_kind(catalog, file, tmp_path):
    run = assemble(compose(CONFIG, ["loss=my_loss.py:ours"]), "train", catalog)
    assert run.hook.compute_loss(model=None, batch={}).loss == 7.0
    (tmp_path / "rewards.py").write_text(REWARDS)
    run = assemble(compose(CONFIG, ["reward=[rewards.py:polite]"]), "train", catalog)
    assert run.hook.score(prompts=[], completions=["please", "now"], rows=[]) == [[1.0, 0.0]]


def test_of_two_files_with_one_name_each_is_called_by_its_own(catalog, tmp_path):
    written = LOSS.replace("def compute_loss(self, model, batch):", "def evaluate(self, handle, chat, data):")
    for name in ("mine.py", "more/mine.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(written.replace("LossOutput(loss=self.scale, num_items=1.0)", repr(name)))
    for order in ("more/mine.py:Mine, mine.py:Mine", "mine.py:Mine, more/mine.py:Mine"):
        run = assemble(compose(CONFIG, [f"evaluator=[{order}]"]), "eval", catalog)
        for name in ("mine.py", "more/mine.py"):
            assert run.routed("evaluate", f"{name}:Mine")(handle=None, chat=None, data=None) == name, order


def test_a_file_is_looked_for_beside_the_configuration_that_names_it(catalog, tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "my_loss.py").write_text(LOSS)
    path = tmp_path / "there" / "c.yaml"
    path.write_text("model: {path: org/tiny}\ndata: {train: [a.json]}\nloss: my_loss.py:Mine\n")
    run = assemble(compose(path), "train", catalog)
    assert run.plan.name("loss") == f"{tmp_path / 'there' / 'my_loss.py'}:Mine"


@pytest.mark.parametrize(
    ("content", "name", "expected"),
    [
        (LOSS, "nowhere.py:Mine", "there is no file nowhere.py"),
        (LOSS, "my_loss.py:Mien", "the file has no Mien.\n  possible: Mine, ours   did you mean Mine?"),
        (
            LOSS,
            "my_loss.py",
            "names a file, and not what of it is meant.\n  possible: my_loss.py:Mine, my_loss.py:ours",
        ),
        ("def (", "my_loss.py", "not what of it is meant.\n  possible: nothing"),
        (LOSS, "my_loss.py:SIZE", "is not a class with @plugin; put @plugin above it."),
        ("1 / 0", "my_loss.py:Mine", "ZeroDivisionError: division by zero\n  mend the file"),
        ("class Mine: pass", "my_loss.py:Mine", "is not a class with @plugin; put @plugin above it."),
    ],
)
def test_what_is_wrong_with_a_file(catalog, file, content, name, expected):
    file.write_text(content)
    with pytest.raises(ConfigError) as caught:
        assemble(compose(CONFIG, [f"loss={name}"]), "train", catalog)
    assert expected in str(caught.value) and str(caught.value).startswith("1 problem")


def test_a_file_named_by_another_path_keeps_its_options(plugins, calls, file, monkeypatch):
    catalog = Catalog.of(plugins)
    folder = train(CONFIG, ["loss=my_loss.py:Mine", "loss.scale=3"], catalog=catalog)
    monkeypatch.chdir(file.parent)
    plan, problems, _ = examine(compose(folder, ["loss=my_loss.py:Mine"]), "train", catalog)
    assert problems == [] and plan.get("loss.scale") == 3.0


def test_a_changed_file_is_read_anew(catalog, file):
    assemble(compose(CONFIG, ["loss=my_loss.py:Mine"]), "train", catalog)
    file.write_text(LOSS.replace("scale: float = 1.0", "scale: float = 9.0"))
    run = assemble(compose(CONFIG, ["loss=my_loss.py:Mine"]), "train", catalog)
    assert run.plan.get("loss.scale") == 9.0


def test_a_runs_folder_does_not_run_files(plugins, calls, file):
    """Whoever made the folder wrote what stands in it; the user says the name again, or it is not read."""
    catalog = Catalog.of(plugins)
    folder = train(CONFIG, ["loss=my_loss.py:Mine"], catalog=catalog)
    file.write_text(textwrap.dedent("raise SystemExit('it ran')"))
    _, problems, _ = examine(compose(folder), "train", catalog)
    (problem,) = problems
    assert "is not run for that reason alone" in problem.message and f"loss={file}:Mine" in problem.advice
    file.write_text(LOSS)
    _, problems, _ = examine(compose(folder, [f"loss={file}:Mine"]), "train", catalog)
    assert problems == []
