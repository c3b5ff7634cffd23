from dialect_mlx import Mlx
from tunesmith_library_testing import DialectSuite


class TestMlx(DialectSuite):
    plugin = Mlx
    one_file = True
    examples = {
        "least": {"model": "org/name", "iters": 200},
        "usual": {
            "model": "org/name",
            "train": True,
            "fine_tune_type": "dora",
            "data": "chats/",
            "batch_size": 2,
            "iters": 600,
            "mask_prompt": True,
            "lora_parameters": {"rank": 16, "scale": 2.0},
        },
    }


def test_scale_is_alpha_by_rank():
    made = Mlx().translate_config(TestMlx.examples["usual"])
    assert made.config["adapter"] == {"name": "lora", "dora": True, "rank": 16, "alpha": 32.0, "dropout": 0.0}
    assert made.config["stage"] == {"max_length": 2048, "train_on_prompt": False}
    assert made.config["data"] == {"train": ["chats/train.jsonl"]}
