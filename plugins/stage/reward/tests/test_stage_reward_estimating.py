"""What training a reward model is said to take."""

import json

import transformers
from tunesmith_library_estimates.estimating import estimate


def test_both_answers_learn_and_a_score_stands_in_the_place_of_logits(tiny_llama, tmp_path):
    """As many weights are trained as transformers' classifier has."""
    (tmp_path / "pairs.json").write_text(json.dumps([{"instruction": "a", "chosen": "b", "rejected": "c"}] * 3))
    found = estimate(
        {
            "model": {"path": str(tiny_llama)},
            "template": "chatml",
            "stage": {"name": "reward", "max_length": 32},
            "adapter": "full",
            "trainer": {"per_device_train_batch_size": 3, "use_cpu": True},
            "data": {"train": [str(tmp_path / "pairs.json")]},
            "output_dir": str(tmp_path / "out"),
        }
    )
    assert (found.sequences, found.per_example, found.tokens, found.vocabulary) == (6, 2, 6 * 32, 0)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tiny_llama, num_labels=1)
    assert found.trained == sum(weight.numel() for weight in model.parameters())
