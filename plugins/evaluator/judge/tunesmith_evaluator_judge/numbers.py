"""From replies to records and metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith_library_evaluating import Measured
from tunesmith_library_evaluating.statistics import bootstrap, mean

from tunesmith_evaluator_judge.agreement import kappa, quadratic_kappa
from tunesmith_evaluator_judge.cases import Case
from tunesmith_evaluator_judge.verdicts import Verdict, scores_of, verdict_of

_TURNED: dict[Verdict, Verdict] = {"first": "second", "second": "first", "tie": "tie"}
_POINTS: dict[Verdict, float] = {"first": 1.0, "second": 0.0, "tie": 0.5}

_PAIRS = {"win_rate": True, "wins": True, "ties": True, "losses": False, "consistency": True, "longer_preferred": False}
_VOTES = {"vote_accuracy": True, "vote_kappa": True}
_LENGTHS = {"length": False, "other_length": False}
_ASKED = {"unparsable": False, "left_out": False}
_SHORT = {"unfinished": False, "truncated": False}
_METRICS = {
    "pairwise": {**_PAIRS, **_VOTES, **_LENGTHS, **_ASKED, **_SHORT},
    "votes": {**_PAIRS, **_VOTES, **_LENGTHS, **_ASKED},
    "rubric": {"score": True, **_VOTES, "length": False, **_ASKED, **_SHORT},
}


def directions(mode: str, names: Sequence[str]) -> dict[str, bool]:
    """All that a mode measures: whether greater is better.

    Args:
        names: of the criteria of a rubric.
    """
    scores = {f"score_{name}": True for name in names if mode == "rubric" and len(names) > 1}
    return {**_METRICS[mode], **scores}


def paired(case: Case, replies: Sequence[str] | None) -> dict[str, Any]:
    """The record of two answers.

    A win takes both orders; where they do not say the same, it is a tie.

    Args:
        replies: with the answer at A, then at B; [] where nobody had to be asked; None where a cap left it out.
    """
    assert case.other is not None
    record = {**case.told, "other": case.other, "length": len(case.answer.text), "other_length": len(case.other)}
    record["left_out"] = float(replies is None)
    if replies is None:
        return record
    final: Verdict = case.settled or "tie"
    if replies:
        read = verdict_of(replies[0]), verdict_of(replies[1])
        verdicts = read[0], read[1] and _TURNED[read[1]]
        record |= {"verdicts": list(verdicts), "judgements": list(replies), "unparsable": float(None in verdicts)}
        if verdicts[0] is None or verdicts[1] is None:
            return record
        record["consistency"] = float(verdicts[0] == verdicts[1])
        final = verdicts[0] if verdicts[0] == verdicts[1] else "tie"
    record |= {"verdict": final, "win_rate": _POINTS[final]}
    record |= {name: float(final == verdict) for name, verdict in _SHARES.items()}
    if final != "tie" and record["length"] != record["other_length"]:
        record["longer_preferred"] = float((final == "first") == (record["length"] > record["other_length"]))
    if case.vote is not None:
        record |= {"vote": case.vote, "vote_accuracy": float(final == case.vote)}
    return record


_SHARES: dict[str, Verdict] = {"wins": "first", "ties": "tie", "losses": "second"}


def rated(case: Case, replies: Sequence[str] | None, names: Sequence[str], least: float, most: float) -> dict[str, Any]:
    """The record of an answer by a rubric.

    Args:
        replies: one; [] for an answer that never came, which gets the least; None where a cap left it out.
        names: of the criteria.
    """
    record = {**case.told, "length": len(case.answer.text), "left_out": float(replies is None)}
    if replies is None:
        return record
    scores: dict[str, float] | None = dict.fromkeys(names, least)
    if replies:
        scores = scores_of(replies[0], names, least, most)
        record |= {"judgements": list(replies), "unparsable": float(scores is None)}
    if scores is None:
        return record
    record["score"] = sum(scores.values()) / len(scores)
    if len(names) > 1:
        record |= {f"score_{name}": value for name, value in scores.items()}
    if case.vote is not None:
        record |= {"vote": case.vote, "vote_accuracy": float(record["score"] == case.vote)}
    return record


def measured(records: Sequence[Mapping[str, Any]], directions: Mapping[str, bool]) -> dict[str, Measured]:
    """The metrics of a data set: each is over the records that have it; the count says how many."""
    found = {}
    for name, greater in directions.items():
        values = [record[name] for record in records if name in record]
        if values:
            found[name] = mean(values, greater_is_better=greater)
    return {**found, **_agreement(records)}


def _agreement(records: Sequence[Mapping[str, Any]]) -> dict[str, Measured]:
    """Kappa of judge and humans; that of scores counts by how much they differ."""
    verdicts = [(record["verdict"], record["vote"]) for record in records if "vote" in record and "verdict" in record]
    scores = [(record["score"], record["vote"]) for record in records if "vote" in record and "score" in record]
    if verdicts:
        return {"vote_kappa": bootstrap(verdicts, kappa)}
    return {"vote_kappa": bootstrap(scores, quadratic_kappa)} if scores else {}
