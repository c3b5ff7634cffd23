from typing import ClassVar

from tunesmith_dialect_placeholder import Placeholder
from tunesmith_library_testing import DialectSuite


class TestPlaceholder(DialectSuite):
    plugin = Placeholder
    examples: ClassVar = {
        "all": {"base_model": "org/name", "learning_rate": 1e-4, "epochs": 2, "lora_rank": 16, "progress_bar": True},
        "least": {"base_model": "org/name"},
    }


def test_keys_have_their_places():
    made = Placeholder().translate_config({"base_model": "org/name", "lora_rank": 4, "progress_bar": True})
    assert made.config == {"stage": {"name": "sft"}, "model": {"path": "org/name"}, "adapter": {"rank": 4}}
    assert [(note.key, note.outcome) for note in made.notes] == [("progress_bar", "dropped")]
