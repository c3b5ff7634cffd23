from types import SimpleNamespace

import pytest
import torch
from tunesmith import TunesmithError
from tunesmith_library_judging.judge import Judge
from tunesmith_library_testing.parts import CHATML


class Sums(torch.nn.Module):
    """A classifier whose first output is the sum of the tokens that count, the second their number."""

    def __init__(self):
        super().__init__()
        text = SimpleNamespace(pad_token_id=None)
        self.config = SimpleNamespace(num_labels=2, get_text_config=lambda: text)
        self.device = torch.device("cpu")
        self.widths = []

    def forward(self, input_ids, attention_mask):
        self.widths.append(input_ids.shape)
        counted = torch.stack([(input_ids * attention_mask).sum(1), attention_mask.sum(1)], 1)
        return SimpleNamespace(logits=counted)


@pytest.fixture
def judge(tiny_bpe):
    return lambda **options: Judge(Sums(), tiny_bpe, CHATML.bind(tiny_bpe), **options)


def test_each_text_by_itself_in_its_order(judge):
    texts = [[1] * 9, [5], [2, 3], [1, 1, 1]]
    made = judge(batch_size=2)
    assert made.of_tokens(texts) == [9, 5, 5, 3]
    assert made.model.widths == [(2, 2), (2, 9)], "texts of like length are computed together"
    assert judge(output=1).of_tokens(texts) == [9, 1, 2, 3]


def test_a_long_text_loses_its_beginning(judge):
    assert judge(max_length=2).of_tokens([[100, 2, 3]]) == [5]


def test_conversations_are_judged_as_they_were_learnt(judge, tiny_bpe):
    prompt = [{"role": "user", "content": "Who counts the waves?"}]
    text = CHATML.render([*prompt, {"role": "assistant", "content": "Nobody."}], training=True).text
    made = judge()
    (ids,) = made.tokens([[*prompt, {"role": "assistant", "content": "Nobody."}]])
    assert ids == tiny_bpe.encode(text, add_special_tokens=False)
    assert made.scores([prompt], ["Nobody."]) == [sum(ids)]


def test_nothing_cannot_be_judged(judge):
    with pytest.raises(TunesmithError, match="text 1 has no tokens"):
        judge().of_tokens([[1], []])
    with pytest.raises(TunesmithError, match="output=2: this model has the outputs 0 to 1"):
        judge(output=2)
