"""Between our words and SGLang's: sampling, deltas, log-probabilities."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tunesmith import TunesmithError
from tunesmith.types import Delta, FinishReason, LogProb, Sampling

_REASONS: Mapping[str, FinishReason] = {"stop": "stop", "length": "length", "abort": "cancelled"}
_FORBIDDEN = -1e9  # off a token's score, where it must never come: SGLang adds numbers that end
_GRAMMAR = "%llguidance {}\n"  # what tells its grammars from those of others


def parameters(sampling: Sampling, ends: Iterable[int], deterministic: bool) -> dict[str, Any]:
    """SGLang's sampling parameters.

    Args:
        sampling: with nothing left open.
        ends: tokens that end every answer.
        deterministic: whether it draws by seeds.

    Raises: TunesmithError for what SGLang does not do.
    """
    draws = bool(sampling.temperature) and sampling.top_k != 1
    if sampling.seed is not None and draws and not deterministic:
        raise TunesmithError(
            f"seed={sampling.seed}: SGLang draws by a request's seed only where it computes deterministically.\n"
            "  engine.enable_deterministic_inference=true, or temperature=0"
        )
    if sampling.repetition_penalty is not None and sampling.repetition_penalty > 2:
        raise TunesmithError(f"repetition_penalty={sampling.repetition_penalty}: SGLang has at most 2")
    asked = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": -1 if sampling.top_k == 0 else sampling.top_k,
        "min_p": sampling.min_p,
        "repetition_penalty": sampling.repetition_penalty,
        "logit_bias": {str(token): max(bias, _FORBIDDEN) for token, bias in sampling.logit_bias.items()} or None,
        "sampling_seed": sampling.seed % 2**63 if sampling.seed is not None and deterministic else None,
        "ebnf": None if sampling.grammar is None else _GRAMMAR + sampling.grammar,
    }
    return {
        **{name: value for name, value in asked.items() if value is not None},
        "max_new_tokens": sampling.max_new_tokens,
        "frequency_penalty": sampling.frequency_penalty,
        "presence_penalty": sampling.presence_penalty,
        "stop_token_ids": sorted({*ends, *sampling.stop_token_ids}),
        "skip_special_tokens": False,
    }


class Reader:
    """Reads what SGLang says of one answer: each time all that there is, or what is new.

    Args:
        log_probs: alternatives of each token; None: nothing is said of them.
        ends: tokens that may have ended it, the likeliest first.
        new: whether only what is new is said.
    """

    def __init__(self, log_probs: int | None, ends: Sequence[int], *, new: bool) -> None:
        self._log_probs, self._ends, self._new = log_probs, ends, new
        self._read = 0  # tokens

    def push(self, said: Mapping[str, Any]) -> Delta | None:
        """What is new; None for nothing.

        Raises: TunesmithError for an answer that SGLang gave up.
        """
        about = said["meta_info"]
        start = 0 if self._new else self._read
        ids = [int(token) for token in said["output_ids"]][start:]
        self._read += len(ids)
        told: tuple[LogProb, ...] = ()
        if self._log_probs is not None:
            values = about["output_token_logprobs"][start:][: len(ids)]
            others = (about.get("output_top_logprobs") or [None] * (start + len(ids)))[start:]
            told = tuple(map(log_prob, values, others, [self._log_probs] * len(values)))
        reason = about.get("finish_reason")
        if reason is None:
            return Delta(tuple(ids), told) if ids else None
        return self._last(ids, told, reason)

    def _last(self, ids: list[int], told: tuple[LogProb, ...], reason: Mapping[str, Any]) -> Delta:
        kind = str(reason.get("type"))
        if kind == "abort" and reason.get("status_code"):
            raise TunesmithError(f"SGLang gave an answer up: {reason.get('message')}")
        found = _REASONS.get(kind, "stop")
        matched = reason.get("matched")
        end = matched if isinstance(matched, int) else next(iter(self._ends), None)
        if found == "stop" and end is not None and (not ids or ids[-1] not in {end, *self._ends}):
            ids, told = [*ids, end], (*told, LogProb(0.0)) if self._log_probs is not None else told
        return Delta(tuple(ids), told, found)


def log_prob(value: Sequence[Any], others: Sequence[Sequence[Any]] | None, alternatives: int) -> LogProb:
    """
    Args:
        value: log-probability, token, text.
        others: the same of the likeliest tokens.
    """
    best = sorted(((float(of), int(token)) for of, token, *_ in others or ()), key=lambda one: -one[0])[:alternatives]
    return LogProb(float(value[0]), {token: of for of, token in best})


def scores_of(about: Mapping[str, Any], sequence: Sequence[int], alternatives: int) -> tuple[LogProb, ...]:
    """The log-probabilities of a prompt's tokens behind its first.

    Raises: TunesmithError where SGLang says those of others.
    """
    values = list(about["input_token_logprobs"])[-(len(sequence) - 1) :] if len(sequence) > 1 else []
    if [int(one[1]) for one in values] != list(sequence[1:]):
        raise TunesmithError(f"SGLang says the probabilities of {len(values)} tokens for {len(sequence)}")
    others = list(about.get("input_top_logprobs") or [None] * len(values))[-len(values) :] if values else []
    return tuple(map(log_prob, values, others, [alternatives] * len(values)))
