import pytest
import torch
from stage_even import Even
from tunesmith_library_testing import StageSuite
from tunesmith_library_testing.parts import load_plain

pytestmark = pytest.mark.slow

SHORT = [{"role": "user", "content": "Who sings?"}, {"role": "assistant", "content": "Whales."}]
LONG = [{"role": "user", "content": "And?"}, {"role": "assistant", "content": "The tide, and nobody counts the waves."}]


class TestEven(StageSuite):
    plugin = Even
    one_file = True
    rows = [{"messages": SHORT}, {"messages": SHORT + LONG}]


def test_each_conversation_has_the_mean_that_transformers_gives_it(tiny_llama, tiny_bpe):
    suite, model = TestEven(), load_plain(tiny_llama)
    examples = suite.examples(tiny_bpe)
    alone = [
        model(torch.tensor([each["input_ids"]]), labels=torch.tensor([each["labels"]])).loss.item() for each in examples
    ]
    _, output = suite.loss(model, examples)
    assert output.loss.item() == pytest.approx(sum(alone), rel=1e-5) and output.num_items == 2
