"""A model as lm-evaluation-harness asks one, over the engine contract: texts in, log-likelihoods and texts out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from lm_eval import utils
from lm_eval.api.model import TemplateLM
from lm_eval.models.utils import has_bos_prefix, normalize_gen_kwargs, postprocess_generated_text
from tunesmith import TunesmithError
from tunesmith.types import LogProb, Request, Sampling
from tunesmith_library_chat.reading import read, reading_of
from tunesmith_library_chat.tokenizers import tokenizer_of
from tunesmith_library_engine.chatting import template_of
from tunesmith_library_engine.together import submit_all

if TYPE_CHECKING:
    from tunesmith_library_engine.chatting import Chat

    from tunesmith_evaluator_lm_eval import LmEval

_NEW_TOKENS = 256  # the harness's own, where a task says nothing
_UNBOUNDED = 2048  # tokens of a window where the engine names no limit


class EngineModel(TemplateLM):  # type: ignore[misc]
    """What the harness calls; texts become tokens as in its `hf` backend.

    Args:
        options: `enable_thinking`, `max_new_tokens`, `seed` and `batch` of them.

    Raises: TunesmithError for an engine whose tokens nobody knows.
    """

    def __init__(self, chat: Chat, options: LmEval) -> None:
        super().__init__()
        self._chat, self._options, self._engine = chat, options, chat.engine
        if chat.handle.processor is None:
            raise TunesmithError(
                "lm_eval compares likelihoods of tokens, and this server's tokenizer is not known.\n"
                "  model.path=MODEL takes that of its model"
            )
        self.tokenizer = tokenizer_of(chat.handle.processor)
        self._template: Any = template_of(self._engine, chat.handle)
        self._variables = {} if options.enable_thinking is None else {"enable_thinking": options.enable_thinking}
        # whether what is thought has to be told from what is said, and what never ended, by task and example
        self._thinks = False
        self.unfinished: dict[tuple[str, int], bool] = {}

    @property
    def max_length(self) -> int:
        """Tokens of a text and what follows it."""
        return self._engine.context_length or _UNBOUNDED

    @property
    def eot_token_id(self) -> int:
        """What ends a text."""
        return int(self.tokenizer.eos_token_id)

    @property
    def prefix_token_id(self) -> int:
        """What stands before a text."""
        first = self.tokenizer.bos_token_id
        return int(self.tokenizer.eos_token_id if first is None else first)

    @property
    def tokenizer_name(self) -> str:
        """What prompts that the harness keeps depend on."""
        return f"{self.tokenizer.name_or_path.replace('/', '__')}__{self._template.name}"

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """The source of the template that is used, which is ours."""
        return str(self._template.jinja) if chat_template else None

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """A conversation as text; what the assistant says last is gone on with where no prompt is asked for."""
        self._thinks = self._template.thinking is not None
        rendered = self._template.render(
            chat_history,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=not add_generation_prompt,
            **self._template.switched(self._variables),
        )
        return str(rendered.text)

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
        """Token ids; a text that begins with the first token does not get it twice."""
        if add_special_tokens is None and has_bos_prefix(string, self.tokenizer.decode(self.prefix_token_id)):
            add_special_tokens = False
        special = {} if add_special_tokens is None else {"add_special_tokens": add_special_tokens}
        return list(self.tokenizer.encode(string, **special))

    def _loglikelihood_tokens(
        self, requests: Sequence[tuple[Any, list[int], list[int]]], disable_tqdm: bool = False, **kwargs: Any
    ) -> list[tuple[float, bool]]:
        """The log-likelihood of each continuation, and whether greedy decoding says the same."""
        found: list[tuple[float, bool]] = []
        for start in range(0, len(requests), self._options.batch):
            some = requests[start : start + self._options.batch]
            sequences = [[*before, *behind][-self.max_length :] for _, before, behind in some]
            scored = self._engine.score(sequences, alternatives=1)
            triples = zip(some, sequences, scored, strict=True)
            found += [_said(sequence[-len(request[2]) :], told) for request, sequence, told in triples]
        return found

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        """The log-likelihood of whole texts, in windows of the model's context."""
        texts = [request.args[0] for request in requests]
        windows = [[(None, *window) for window in self._windows(text)] for text in texts]
        values = iter(self._loglikelihood_tokens([window for some in windows for window in some]))
        return [math.fsum(next(values)[0] for _ in some) for some in windows]

    def _windows(self, text: str) -> Iterator[tuple[list[int], list[int]]]:
        rolling = utils.get_rolling_token_windows(
            token_list=self.tok_encode(text),
            prefix_token=self.prefix_token_id,
            max_seq_len=self.max_length - 1,  # the token that is predicted last counts
            context_len=1,
        )
        return map(utils.make_disjoint_window, rolling)

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """What the model says to each text, up to the first of the strings that end it; without thoughts."""
        found: list[str] = []
        for start in range(0, len(requests), self._options.batch):
            found += self._generated(requests[start : start + self._options.batch], start)
        return found

    def _generated(self, requests: Sequence[Any], start: int) -> list[str]:
        asked, stops = [], []
        for index, request in enumerate(requests):
            context, told = request.args
            told = normalize_gen_kwargs(told, _NEW_TOKENS)
            stops.append([stop for stop in told.get("until") or () if stop])
            asked.append(self._request(context, told, start + index))
        whole = [()] * len(requests) if self._thinks else stops
        readings = [reading_of(self._chat.handle.processor, stop, True) for stop in whole]
        texts = [""] * len(requests)
        reasons = [""] * len(requests)
        for piece in read(submit_all(self._engine, asked), readings):
            texts[piece.index] += piece.text
            reasons[piece.index] = piece.finish_reason or reasons[piece.index]
        if not self._thinks:
            return texts
        contexts = [request.args[0] for request in requests]
        said = [self._without_thought(*pair) for pair in zip(contexts, texts, strict=True)]
        for request, text in zip(requests, said, strict=True):
            self.unfinished[request.task_name, request.doc_id] = text is None
        return [postprocess_generated_text(text or "", stop, None) for text, stop in zip(said, stops, strict=True)]

    def _request(self, context: str, told: dict[str, Any], index: int) -> Request:
        """What the engine is asked; a text that leaves no room loses its beginning, as in the harness."""
        limit = min(self._options.max_new_tokens or int(told["max_gen_toks"]), self.max_length - 1)
        temperature = told.get("temperature", 1.0 if told.get("do_sample") else 0.0)
        sampling = Sampling(
            max_new_tokens=limit,
            temperature=float(temperature),
            top_p=told.get("top_p"),
            top_k=told.get("top_k"),
            seed=self._options.seed + index,
        )
        return Request(self.tok_encode(context)[-(self.max_length - limit) :], sampling)

    def _without_thought(self, context: str, text: str) -> str | None:
        """What is said behind a thought; None where that never ended."""
        thinking = self._template.thinking
        opening, closing = thinking.open.strip(), thinking.close.strip()
        _, closed, said = text.rpartition(closing)
        if closed:
            return said.lstrip()
        return None if opening in text or thinking.begun(context) else text


def _said(continuation: Sequence[int], told: Sequence[LogProb]) -> tuple[float, bool]:
    behind = told[len(told) - len(continuation) :]
    pairs = zip(continuation, behind, strict=False)
    greedy = all(next(iter(one.alternatives), token) == token for token, one in pairs)
    return math.fsum(one.value for one in behind), greedy
