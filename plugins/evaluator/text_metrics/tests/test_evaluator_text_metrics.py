"""Each metric against its reference library, in English and Chinese; standard errors against sacrebleu's bootstrap."""

import math
from dataclasses import replace

import pytest
import sacrebleu
from tunesmith_evaluator_text_metrics import TextMetrics
from tunesmith_evaluator_text_metrics.corpus import bleu, chrf, signature
from tunesmith_evaluator_text_metrics.distances import edit_distance, normal
from tunesmith_evaluator_text_metrics.llamafactory import bleu_4, similarity
from tunesmith_evaluator_text_metrics.rouge import rouge
from tunesmith_evaluator_text_metrics.segmenting import cut, segmentation_of, tokens
from tunesmith_library_chat.thoughts import Thinking
from tunesmith_library_evaluating import EvaluationData
from tunesmith_library_testing import EvaluatorSuite
from tunesmith_library_testing.engine import scripted_chat
from tunesmith_library_testing.parts import CHATML, handle_of

ENGLISH = [
    ("The cat sat on the mat, twice.", "The cat sat on a mat."),
    ("Whales sing!", "The whales sing at night, all of them."),
    ("", "Nothing was said here."),
    ("He doesn't know the U.S. rate: 3.5%", "He does not know the U.S. rate of 3.5%"),
    ("a", "b"),
    ("the the the the", "the cat"),
]
CHINESE = [
    ("今天天气很好，我们去公园散步。", "今天天气真好，我们一起去公园散步吧。"),
    ("鲸鱼在海里唱歌。\n\n潮水退了？ \n是的。", "夜里，鲸鱼在海里唱歌。\n潮水退了。"),
    ("", "没有回答。"),
    ("GPT 模型 3.5 版", "GPT-3.5 模型"),
    ("是", "不"),
]


class TestTextMetrics(EvaluatorSuite):
    plugin = TextMetrics
    options = {"max_new_tokens": 24}


@pytest.mark.parametrize(
    ("pairs", "how", "tokenizer"),
    [(ENGLISH, "words", "13a"), (CHINESE, "jieba", "zh"), (CHINESE, "characters", "char")],
)
def test_bleu_and_chrf_equal_sacrebleu(pairs, how, tokenizer):
    said, expected = map(list, zip(*pairs, strict=True))
    metric = sacrebleu.BLEU(tokenize=tokenizer)
    found, alone = bleu(pairs, how)
    assert found.value == pytest.approx(metric.corpus_score(said, [expected]).score, rel=1e-12)
    theirs = sacrebleu.BLEU(tokenize=tokenizer, effective_order=True)
    assert alone == [theirs.sentence_score(one, [other]).score for one, other in pairs]
    assert signature(how) == str(metric.get_signature())
    whole, each = chrf(pairs)
    assert whole.value == pytest.approx(sacrebleu.CHRF().corpus_score(said, [expected]).score, rel=1e-12)
    by_sacrebleu = [sacrebleu.CHRF().sentence_score(one, [other]).score for one, other in pairs]
    assert each == pytest.approx(by_sacrebleu, rel=1e-12)


def test_standard_errors_are_those_of_sacrebleus_bootstrap():
    """Half of sacrebleu's interval of 95 %, which is 1.96 standard errors where the draws are normal."""
    pairs = [(f"the whale number {at} sings " + "again " * (at % 3), f"whale {at} sings again") for at in range(60)]
    said, expected = map(list, zip(*pairs, strict=True))
    for ours, theirs in ((bleu(pairs, "words")[0], sacrebleu.BLEU()), (chrf(pairs)[0], sacrebleu.CHRF())):
        result = theirs.corpus_score(said, [expected], n_bootstrap=1000)
        assert ours.standard_error == pytest.approx(result._ci / 1.96, rel=0.15)


@pytest.mark.slow  # the import of rouge_score takes seconds
def test_rouge_equals_rouge_score():
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"])
    for said, expected in ENGLISH:
        theirs = {name: score.fmeasure for name, score in scorer.score(expected, said).items()}
        ours = rouge(tokens(said, "words"), tokens(expected, "words"))
        assert list(ours.values()) == pytest.approx(list(theirs.values()), rel=1e-12)


def test_rouge_of_chinese_by_hand():
    """Words by jieba: 我们 去 公园 beside 我们 一起 去 公园: 3 of 3 and 4, one pair of 2 and 3, 3 in order."""
    said, expected = tokens("我们去公园。", "jieba"), tokens("我们一起去公园！", "jieba")
    assert (said, expected) == (["我们", "去", "公园"], ["我们", "一起", "去", "公园"])
    found = rouge(said, expected)
    assert found == pytest.approx({"rouge_1": 6 / 7, "rouge_2": 2 / 5, "rouge_l": 6 / 7})


@pytest.mark.slow  # the import of nltk takes seconds
@pytest.mark.parametrize(("said", "expected"), [*ENGLISH, *CHINESE])
def test_llamafactorys_numbers_are_those_of_its_libraries(said, expected):
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
    from rouge_chinese import Rouge

    theirs = sentence_bleu([list(expected)], list(said), smoothing_function=SmoothingFunction().method3)
    assert bleu_4(said, expected) == pytest.approx(theirs, abs=1e-12)
    words = [" ".join(cut(text)) for text in (said, expected)]
    rouges = [0.0] * 3
    if all(text.split() for text in words):
        (scores,) = Rouge().get_scores(*words)
        rouges = [100 * scores[name]["f"] for name in ("rouge-1", "rouge-2", "rouge-l")]
    assert similarity(said, expected) == pytest.approx((100 * theirs, *rouges), abs=1e-9)


def test_llamafactorys_bleu_by_hand():
    """潮水退 beside 潮水涨: 2 of 3 characters, 1 of 2 pairs; then nothing matches, which counts 1/2 of 1, and 1/4."""
    assert bleu_4("潮水退", "潮水涨") == pytest.approx((2 / 3 * 1 / 2 * 1 / 2 * 1 / 4) ** (1 / 4))
    assert bleu_4("abcd", "abcde") == pytest.approx(math.exp(1 - 5 / 4)) and bleu_4("", "a") == bleu_4("b", "a") == 0


@pytest.mark.parametrize(
    ("text", "how", "cut_into"),
    [
        ("It's 3.5 Über-whales", "words", ["it", "s", "3", "5", "über", "whales"]),
        ("クジラ sings", "characters", ["ク", "ジ", "ラ", "sings"]),
        (", ...", "jieba", []),
    ],
)
def test_tokens(text, how, cut_into):
    assert tokens(text, how) == cut_into


@pytest.mark.parametrize(
    ("texts", "how"),
    [
        (["Whales sing", "3.5"], "words"),
        (["Погода хорошая"], "words"),
        (["今天天气很好", "The word 水 is water"], "jieba"),
        (["今日はいい天気です"], "characters"),
        (["42", ""], "words"),
    ],
)
def test_what_suits_texts(texts, how):
    assert segmentation_of(texts) == how


def levenshtein(one, other):
    """By its recurrence."""
    row = list(range(len(other) + 1))
    for at, letter in enumerate(one, 1):
        before, row = row, [at]
        for place, against in enumerate(other, 1):
            row.append(min(before[place] + 1, row[-1] + 1, before[place - 1] + (letter != against)))
    return row[-1]


@pytest.mark.parametrize(("one", "other"), [*ENGLISH, *CHINESE])
def test_edit_distance(one, other):
    assert edit_distance(one, other) == pytest.approx(levenshtein(one, other) / max(len(one), len(other)))
    assert edit_distance("", "") == 0


def test_what_is_the_same_text():
    assert normal(" Ｐaris\n is ", False, False) == "Paris is"
    assert normal("Paris, ISN'T", True, True) == normal("paris isnt。", True, True)


def test_answers_of_a_script(tiny_llama, tiny_bpe):
    """Right, near, cut within a thought, and empty: the last two are wrong, and counted."""
    said = {"one": "The whale sings.", "two": "The whale sang.", "three": "<think>\nThe whale sings.", "four": ""}
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"Question {name}?"},
                {"role": "assistant", "content": "The whale sings."},
            ]
        }
        for name in said
    ]
    handle = handle_of(tiny_llama, tiny_bpe, template=replace(CHATML, thinking=Thinking()))
    data = EvaluationData(rows=lambda: {"whales": rows}, examples=dict)
    with scripted_chat(handle, lambda prompt: said[prompt.partition("Question ")[2].partition("?")[0]]) as chat:
        found = TextMetrics(llamafactory=True).evaluate(chat=chat, data=data)
    metrics = found.metrics["whales"]
    assert metrics["exact_match"].value == 1 / 4 and metrics["exact_match"].count == 4
    assert metrics["unfinished"].value == 1 / 4 and not metrics["unfinished"].greater_is_better
    assert [record["rouge_1"] for record in found.records] == pytest.approx([1, 2 / 3, 0, 0])
    assert [record["sentence_bleu"] for record in found.records][2:] == [0, 0]
    assert metrics["edit_distance"].value == pytest.approx((0 + levenshtein("sings", "sang") / 16 + 1 + 1) / 4)
    assert metrics["predict_bleu-4"].value == pytest.approx(
        100 * math.fsum(bleu_4(text, "The whale sings.") for text in (said["one"], said["two"], "", "")) / 4
    )
    assert found.records[2]["prediction"] == "" and found.records[2]["thought"] == "The whale sings."
    assert found.settings["segmentation"] == {"whales": "words"} and found.settings["template"] == "chatml"
    promised = TextMetrics(llamafactory=True).traits.metrics
    assert {f"text_metrics_{name}": it.greater_is_better for name, it in metrics.items()} == promised
