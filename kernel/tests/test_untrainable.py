"""Training over the weights of a quantizer that pass no gradient."""

import pytest
from tunesmith.assemble import examine
from tunesmith.compose import compose
from tunesmith.traits import QuantizerTraits


@pytest.mark.parametrize(
    ("traits", "command", "refused"),
    [
        (QuantizerTraits((4,), ("cpu",), trains=False), "train", True),
        (QuantizerTraits((4,), ("cpu",), trains=False), "chat", False),
        (QuantizerTraits((4,), ("cpu",)), "train", False),
        (None, "train", False),
        (["trains"], "train", False),
    ],
    ids=["no gradient", "serving", "gradient", "says nothing", "no traits"],
)
def test_every_plan_is_judged(catalog, monkeypatch, tmp_path, traits, command, refused):
    """The kernel asks by itself: a quantizer needs no check of its own."""
    monkeypatch.chdir(tmp_path)
    written = {"model": {"path": str(tmp_path)}, "quantizer": "hqq"}
    before = {problem.message for problem in examine(compose(written), command, catalog)[1]}
    assert not any("pass no gradient" in message for message in before)
    monkeypatch.setattr(catalog.load(catalog.find("quantizer", "hqq")), "traits", traits, raising=False)
    found = [problem for problem in examine(compose(written), command, catalog)[1] if problem.message not in before]
    assert [str(problem.key) for problem in found] == (["quantizer.name"] if refused else [])
    assert all("quantizer=hqq, which pass no gradient" in problem.message for problem in found)


def test_without_a_quantizer_all_is_possible(catalog, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    _, problems, _ = examine(compose({"model": {"path": str(tmp_path)}}), "train", catalog)
    assert not any("pass no gradient" in problem.message for problem in problems)
