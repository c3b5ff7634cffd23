"""A reward model, and what it makes of conversations and texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from tunesmith import TunesmithError
from tunesmith.types import Message
from tunesmith_library_chat import ChatTemplate, tokenize


class Judge:
    """A sequence classifier with its tokenizer and the template that its conversations are written in."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        template: ChatTemplate,
        *,
        output: int = 0,
        batch_size: int = 8,
        max_length: int | None = None,
    ) -> None:
        """
        Args:
            output: which of the model's outputs is the score.
            batch_size: texts computed together.
            max_length: tokens of a text; longer ones lose their beginning.

        Raises: TunesmithError when the model has fewer outputs.
        """
        outputs = model.config.num_labels
        if not 0 <= output < outputs:
            raise TunesmithError(f"output={output}: this model has the outputs 0 to {outputs - 1}")
        self.model = model.requires_grad_(False).eval()
        self.tokenizer, self.template = tokenizer, template
        self.output, self.batch_size, self.max_length = output, batch_size, max_length
        tokenizer.padding_side = "right"
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        if model.config.get_text_config().pad_token_id is None:  # by it the model finds a sequence's last token
            model.config.get_text_config().pad_token_id = tokenizer.pad_token_id

    def scores(self, prompts: Sequence[Sequence[Message]], completions: Sequence[str]) -> list[float]:
        """One number per answer to a prompt."""
        answers = [{"role": "assistant", "content": answer} for answer in completions]
        conversations = [[*prompt, answer] for prompt, answer in zip(prompts, answers, strict=True)]
        return self.of_tokens(self.tokens(conversations))

    def tokens(self, conversations: Sequence[Sequence[Message]]) -> list[list[int]]:
        """Conversations as the model has learnt to judge them.

        Raises: DataError for one that the template refuses.
        """
        rendered = [self.template.render(conversation, training=True) for conversation in conversations]
        return [list(each.ids) for each in tokenize(self.tokenizer, rendered, control=self.template.control)]

    def of_tokens(self, sequences: Sequence[Sequence[int]]) -> list[float]:
        """One number per sequence of tokens; batches of similar length, whose padding the model does not see.

        Raises: TunesmithError for a sequence that is empty.
        """
        ids = [list(sequence if self.max_length is None else sequence[-self.max_length :]) for sequence in sequences]
        if not all(ids):
            raise TunesmithError(f"text {[bool(each) for each in ids].index(False)} has no tokens to be judged")
        order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
        found = [0.0] * len(ids)
        for start in range(0, len(order), self.batch_size):
            some = order[start : start + self.batch_size]
            for index, value in zip(some, self._outputs([ids[index] for index in some]), strict=True):
                found[index] = value
        return found

    @torch.inference_mode()
    def _outputs(self, ids: list[list[int]]) -> list[float]:
        batch = self.tokenizer.pad({"input_ids": ids}, return_tensors="pt").to(self.model.device)
        logits = self.model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits  # (B, outputs)
        scores: list[float] = logits[:, self.output].float().tolist()
        return scores
