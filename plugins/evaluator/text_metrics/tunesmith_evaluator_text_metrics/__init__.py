"""Answers beside expected texts: how much of one is in the other, by tokens, n-grams and characters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from tunesmith import hookimpl, plugin
from tunesmith.traits import EvaluatorTraits
from tunesmith_library_evaluating import Evaluation, EvaluationData
from tunesmith_library_evaluating.asking import Asking

if TYPE_CHECKING:
    from tunesmith_library_engine.chatting import Chat

    from tunesmith_evaluator_text_metrics.segmenting import Segmentation

_MEANS = ("sentence_bleu", "sentence_chrf", "rouge_1", "rouge_2", "rouge_l", "exact_match")
_LLAMAFACTORY = ("predict_bleu-4", "predict_rouge-1", "predict_rouge-2", "predict_rouge-l")
_METRICS = {**dict.fromkeys(("bleu", "chrf", *_MEANS), True), "edit_distance": False}
_CUT = {"unfinished": False, "truncated": False}


@plugin
class TextMetrics(Asking):
    """BLEU, chrF, ROUGE, exact match and edit distance between the model's answers and the expected ones."""

    # what a text is cut into: words (between spaces and punctuation), jieba (Chinese words; BLEU takes characters), or
    # characters (of writings without spaces); auto: by the expected answers of each data set
    segmentation: Literal["auto", "words", "jieba", "characters"] = "auto"
    ignore_case: bool = False  # for exact match and edit distance; ROUGE never minds case, BLEU and chrF always do
    ignore_punctuation: bool = False  # for exact match and edit distance
    llamafactory: bool = False  # beside these the numbers that LLaMA-Factory's prediction reports, under its names

    @property
    def traits(self) -> EvaluatorTraits:
        known = {**_METRICS, **_CUT, **dict.fromkeys(_LLAMAFACTORY if self.llamafactory else (), True)}
        return EvaluatorTraits(metrics={f"text_metrics_{name}": greater for name, greater in known.items()})

    @hookimpl
    def evaluate(self, chat: Chat, data: EvaluationData) -> Evaluation:
        """Raises: DataError when no row has an expected answer."""
        from tunesmith_library_evaluating.answering import cut_short
        from tunesmith_library_evaluating.replies import replies

        from .corpus import bleu, chrf, signature
        from .segmenting import told

        metrics: dict[str, Any] = {}
        records: list[dict[str, Any]] = []
        cut: dict[str, Segmentation] = {}
        for name, found in replies(chat, data, self, "text_metrics").items():
            pairs = [(it.answer.text, str(it.prompt.answer)) for it in found]
            segmentation = told(name, self.segmentation, [expected for _, expected in pairs])
            of_set, bleus = bleu(pairs, segmentation)
            whole, chrfs = chrf(pairs)
            numbers = [
                {"sentence_bleu": own_bleu, "sentence_chrf": own_chrf, **self._numbers(*pair, segmentation)}
                for pair, own_bleu, own_chrf in zip(pairs, bleus, chrfs, strict=True)
            ]
            means = self._means(numbers)
            metrics[name] = {"bleu": of_set, "chrf": whole, **means, **cut_short([it.answer for it in found])}
            records += [it.record(**own) for it, own in zip(found, numbers, strict=True)]
            cut[name] = segmentation
        shown = {"segmentation": cut, "bleu": {name: signature(how) for name, how in cut.items()}}
        compared = {"ignore_case": self.ignore_case, "ignore_punctuation": self.ignore_punctuation}
        return Evaluation(metrics, records, {**self.settings(chat), **shown, **compared})

    def _means(self, numbers: list[dict[str, float]]) -> dict[str, Any]:
        """What is a mean over the examples."""
        from tunesmith_library_evaluating.statistics import mean

        return {
            name: mean([own[name] for own in numbers], greater_is_better=_METRICS.get(name, True))
            for name in numbers[0]
        }

    def _numbers(self, said: str, expected: str, segmentation: Segmentation) -> dict[str, float]:
        """The numbers of one answer, of which the data set's are the means."""
        from .distances import edit_distance, normal
        from .rouge import rouge
        from .segmenting import tokens

        numbers = rouge(tokens(said, segmentation), tokens(expected, segmentation))
        one, other = (normal(text, self.ignore_case, self.ignore_punctuation) for text in (said, expected))
        numbers |= {"exact_match": float(one == other), "edit_distance": edit_distance(one, other)}
        if self.llamafactory:
            from .llamafactory import similarity

            numbers |= dict(zip(_LLAMAFACTORY, similarity(said, expected), strict=True))
        return numbers
