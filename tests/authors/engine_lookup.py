"""Prompt lookup decoding (Saxena 2023): what followed the last two tokens before is tried as what follows them now.

All guesses are computed in one pass. A token that is drawn as it was guessed costs nothing more, and the first other
one ends the guesses, so the answers are those of the model alone.
"""

from typing import Annotated

from tunesmith import TunesmithError, hookimpl, plugin
from tunesmith.ranges import at_least
from tunesmith.traits import EngineTraits
from tunesmith.types import LogProb
from tunesmith_library_engine.one_by_one import OneByOne


@plugin
class Lookup:
    """Quick where an answer repeats its prompt: corrections, summaries, code that is changed."""

    traits = EngineTraits(runs_modules=True)
    max_new_tokens: Annotated[int, at_least(1, most=100_000_000)] = 512  # of an answer
    temperature: Annotated[float, at_least(0, most=100)] = 0.0  # 0 takes the likeliest token, 1 draws as the model says
    guesses: Annotated[int, at_least(0, most=1000)] = 8  # tokens that are tried in one pass

    @hookimpl
    def open_engine(self, handle):
        return LookupEngine(handle, self)


class LookupEngine(OneByOne):
    def __init__(self, handle, options):
        from tunesmith_library_chat import tokenizer_of
        from tunesmith_library_chat.endings import end_tokens

        self.model, self.options = handle.load().eval(), options
        ends = end_tokens(None, tokenizer_of(handle.processor), self.model.generation_config)
        limit = self.model.config.get_text_config().max_position_embeddings
        super().__init__(limit, ends, options.max_new_tokens)

    def tokens(self, request):
        import torch

        seed, generator, ids, cache = request.sampling.seed, torch.Generator(), list(request.prompt), None
        generator.manual_seed(seed) if seed is not None else generator.seed()
        heat = self.options.temperature if request.sampling.temperature is None else request.sampling.temperature
        new = ids.copy()
        while True:
            guessed = self.guess(ids)
            last = len(ids) + len(guessed)  # tokens that the cache has after this pass
            said, cache = self.run(new + guessed, len(guessed) + 1, past_key_values=cache, use_cache=True)
            for log_probs, guess in zip(said, [*guessed, None], strict=True):
                token = (
                    log_probs.argmax()
                    if not heat
                    else (log_probs / heat).softmax(-1).multinomial(1, generator=generator)
                )
                ids.append(int(token))
                yield ids[-1], None if request.log_probs is None else likely(log_probs, ids[-1], request.log_probs)
                if ids[-1] != guess:
                    break
            if last >= len(ids):
                cache.crop(len(ids) - 1 - last)  # what was guessed wrong is forgotten
            new = ids[-1:]

    def guess(self, ids):
        most = min(self.options.guesses, self.context_length - len(ids))
        for at in range(len(ids) - 3, -1, -1):
            if ids[at : at + 2] == ids[-2:]:
                return ids[at + 2 : at + 2 + most]
        return []

    def run(self, ids, keep, **options):
        import torch

        with torch.no_grad():
            output = self.model(torch.tensor([ids], device=self.model.device), logits_to_keep=keep, **options)
        return output.logits[0].float().log_softmax(-1).cpu(), output.past_key_values

    def log_probs(self, sequence, alternatives):
        said, _ = self.run(list(sequence), len(sequence), use_cache=False)
        return tuple(likely(of, token, alternatives) for of, token in zip(said, sequence[1:], strict=False))

    def exchange(self, weights):
        own = self.model.state_dict()
        for name, tensor in weights:
            if name not in own or own[name].shape != tensor.shape:
                raise TunesmithError(f"the model has no {name} of the shape {list(tensor.shape)}")
            own[name].copy_(tensor)


def likely(log_probs, token, alternatives):
    best = log_probs.topk(alternatives)
    return LogProb(log_probs[token].item(), dict(zip(best.indices.tolist(), best.values.tolist(), strict=True)))
