"""What the stages do on real input, at the settings of `tests/bench behaviour`: rewards rise, and what was learned from
marked answers holds for others. (For DPO: plugins/stage/dpo/tests/test_stage_dpo_real.py.)"""

from pathlib import Path
from statistics import mean, stdev

import pytest

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.real, pytest.mark.slow]


def panels(run: Path) -> float:
    """How many panels loss.png has, where it has several: each is 5 inches wide, of 120 pixels."""
    from matplotlib.image import imread

    return imread(run / "loss.png").shape[1] / 600


@pytest.fixture(scope="module")
def untrained(real_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from bench import behaviour

    return behaviour.untrained(real_files, tmp_path_factory.mktemp("behaviour"))


@pytest.fixture(scope="module")
def reader(untrained: Path) -> Path:
    """A model that has read instructions and answers."""
    from bench import behaviour

    return behaviour.pretrained(untrained)


def test_kto_rewards_desirable_answers_that_it_has_not_seen(real_files: Path, untrained: Path, tmp_path: Path) -> None:
    """Over the four parts, each held out once, the margin is above 0 by more than its standard error three times."""
    from bench import behaviour

    outcome = behaviour.kto(real_files, untrained, tmp_path / "kto")
    error = stdev(outcome.values) / len(outcome.values) ** 0.5
    assert mean(outcome.values) > max(3 * error, 0.3), outcome.values
    assert panels(outcome.run) == 3, "loss, rewards and accuracies"
    first = next(event for event in behaviour.events(outcome.run) if "loss" in event)
    assert first["loss"] == pytest.approx(0.5, abs=1e-3), "at the reference every loss is a half"


@pytest.mark.parametrize("stage", ["ppo", "grpo"])
def test_the_reward_of_real_prompts_rises(real_files: Path, reader: Path, tmp_path: Path, stage: str) -> None:
    """In 50 steps, from a third of the answers or so to most of them."""
    from bench import behaviour

    outcome = behaviour.STAGES[stage](real_files, reader, tmp_path / stage)
    before, after = outcome.values
    assert before < 0.6 and after > max(0.75, before + 0.25), outcome.values
    assert len([event for event in behaviour.events(outcome.run) if "reward" in event]) == 50
    assert panels(outcome.run) == 2, "loss and rewards"
