"""Between our words and vLLM's: sampling, deltas, log-probabilities."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tunesmith import TunesmithError
from tunesmith.types import Delta, FinishReason, LogProb, Sampling

_REASONS: Mapping[str, FinishReason] = {"stop": "stop", "length": "length", "abort": "cancelled"}
_FORBIDDEN = -1e9  # off a token's score, where it must never come: vLLM's kernels want numbers that end


def parameters(sampling: Sampling, log_probs: int | None, ends: Iterable[int], *, prompt: int | None = None) -> Any:
    """vLLM's `SamplingParams`.

    Args:
        sampling: with nothing left open.
        log_probs: alternatives of each new token; None: nothing is said of them.
        ends: tokens that end every answer.
        prompt: alternatives of each token of the prompt; None: nothing is said of them.

    Raises: TunesmithError for what vLLM does not do.
    """
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

    grammar = None if sampling.grammar is None else StructuredOutputsParams(grammar=sampling.grammar)
    asked = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "repetition_penalty": sampling.repetition_penalty,
    }
    try:
        return SamplingParams(
            **{name: value for name, value in asked.items() if value is not None},
            max_tokens=sampling.max_new_tokens,
            frequency_penalty=sampling.frequency_penalty,
            presence_penalty=sampling.presence_penalty,
            logit_bias={token: max(bias, _FORBIDDEN) for token, bias in sampling.logit_bias.items()} or None,
            stop_token_ids=sorted({*ends, *sampling.stop_token_ids}),
            seed=None if sampling.seed is None else sampling.seed % 2**63,
            logprobs=log_probs,
            prompt_logprobs=prompt,
            structured_outputs=grammar,
            detokenize=False,
            output_kind=RequestOutputKind.DELTA if prompt is None else RequestOutputKind.FINAL_ONLY,
        )
    except Exception as error:  # of a class of vLLM's own, which versions call differently
        raise TunesmithError(f"vLLM does not do what is asked: {error}") from error


def delta_of(output: Any, log_probs: int | None) -> Delta:
    """What is new of an answer."""
    ids = tuple(output.token_ids)
    told = () if log_probs is None else tuple(map(_log_prob, output.logprobs or (), ids, [log_probs] * len(ids)))
    return Delta(ids, told, None if output.finish_reason is None else _REASONS.get(output.finish_reason, "stop"))


def scores_of(said: Sequence[Any], sequence: Sequence[int], alternatives: int) -> tuple[LogProb, ...]:
    """The log-probabilities of a prompt's tokens behind its first."""
    return tuple(_log_prob(of, token, alternatives) for of, token in zip(said[1:], sequence[1:], strict=True))


def _log_prob(of: Mapping[int, Any], token: int, alternatives: int) -> LogProb:
    """
    Args:
        of: what vLLM says of the likeliest tokens and of the one that came.
    """
    best = sorted((one.rank, other) for other, one in of.items())[:alternatives]
    return LogProb(float(of[token].logprob), {other: float(of[other].logprob) for _, other in best})
