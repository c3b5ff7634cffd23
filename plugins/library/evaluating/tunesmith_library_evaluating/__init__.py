"""Measuring models: what evaluators are given and give, and the calls of them. Nothing here imports torch."""

from tunesmith_library_evaluating.evaluation import Evaluation, EvaluationData, Measured

__all__ = ["Evaluation", "EvaluationData", "Measured"]
