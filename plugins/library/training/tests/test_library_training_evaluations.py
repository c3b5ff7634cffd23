"""The names under which trackers, and `metric_for_best_model`, find what evaluators measured."""

from tunesmith_library_evaluating import Evaluation, Measured
from tunesmith_library_training.evaluations import named


def test_names():
    one = Evaluation({"test": {"perplexity": Measured(8.0), "loss": Measured(2.0)}}, name="perplexity")
    several = Evaluation({"STEM": {"accuracy": Measured(0.5)}, "all": {"accuracy": Measured(0.4)}}, name="choices")
    whole = Evaluation({"": {"zero": Measured(0.0)}}, name="idle")
    private = Evaluation({"": {"hit": Measured(1.0)}}, name="/home/me/top.py:Top")
    assert {name: number.value for name, number in named([one, several, whole, private], "eval")} == {
        "eval_Top_hit": 1.0,
        "eval_test_perplexity": 8.0,
        "eval_perplexity": 8.0,
        "eval_test_perplexity_loss": 2.0,
        "eval_perplexity_loss": 2.0,
        "eval_STEM_choices_accuracy": 0.5,
        "eval_all_choices_accuracy": 0.4,
        "eval_idle_zero": 0.0,
    }
