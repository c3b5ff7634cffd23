"""How many steps a run is said to have, and how often it stops, against transformers' own count."""

import math

import pytest
from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_estimates.working import Extent, Pauses
from tunesmith_library_testing.parts import StubPlan
from tunesmith_trainer_transformers import Transformers
from tunesmith_trainer_transformers.duration import with_duration


def estimate(examples=100, held_out=0, sequences=8, accumulated=1, **options):
    made = Estimate("fp32", data=Extent(examples, 50.0, held_out=held_out), sequences=sequences)
    made = with_duration(Transformers(**options), Estimate(**{**vars(made), "accumulated": accumulated}), StubPlan({}))
    return made.steps, made.pauses


@pytest.mark.parametrize("accumulated", [1, 3])
@pytest.mark.parametrize("epochs", [0.5, 1, 2.3])
def test_steps_are_those_of_transformers(accumulated, epochs, tmp_path):
    from torch.utils.data import DataLoader
    from transformers import Trainer, TrainingArguments

    arguments = TrainingArguments(
        str(tmp_path), num_train_epochs=epochs, gradient_accumulation_steps=accumulated, use_cpu=True
    )
    trainer = Trainer.__new__(Trainer)
    trainer.get_sp_size, trainer.get_total_train_batch_size = lambda: 1, lambda args: 8 * accumulated
    loader = DataLoader(list(range(100)), batch_size=8)
    steps = trainer.set_initial_training_values(arguments, loader)[-1]
    assert estimate(accumulated=accumulated, num_train_epochs=epochs)[0] == steps


@pytest.mark.parametrize("at_once", [1, 5, 7, 32])
def test_steps_do_not_depend_on_how_many_go_through_at_once(at_once):
    """979 examples, 32 of them in a step."""
    made = Estimate("fp32", data=Extent(979, 50.0), sequences=at_once, accumulated=-(-32 // at_once), of_step=32)
    assert with_duration(Transformers(num_train_epochs=2), made, StubPlan({})).steps == 2 * 31


def test_how_often_it_stops():
    steps, pauses = estimate(save_steps=10, num_train_epochs=3)
    assert steps == 3 * 13 and pauses == Pauses(evaluations=0, written=4, kept=2, whole=True)
    assert estimate(held_out=5, save_strategy="no")[1] == Pauses(evaluations=3, whole=True)
    best = estimate(held_out=5, save_strategy="epoch", load_best_model_at_end=True)[1]
    assert best == Pauses(evaluations=3, written=3, kept=3, whole=True)
    every = estimate(eval_strategy="steps", eval_steps=5, max_steps=20, eval_on_start=True, save_total_limit=None)
    assert every == (20, Pauses(evaluations=5, written=1, kept=1, whole=True))
    assert estimate(examples=None) == (None, Pauses(whole=True))
    assert estimate(examples=None, max_steps=7)[0] == 7
    assert estimate(examples=1000, num_train_epochs=0.1)[0] == math.ceil(0.1 * 125)
