"""What a judge may cost, and what it has: requests, tokens, money. A request begins only if it would stay within."""

from __future__ import annotations

from dataclasses import dataclass

_BYTES_PER_TOKEN = 2  # of a prompt, before anybody has counted: more tokens than texts have in most tokenizers


@dataclass
class Budget:
    """The caps of an evaluation, None for none; and what was spent of them."""

    max_requests: int | None = None
    max_tokens: int | None = None  # of prompts and replies
    max_cost: float | None = None
    input_price: float = 0.0  # of a million tokens of prompts
    output_price: float = 0.0  # of a million tokens of replies
    requests: int = 0
    prompt_tokens: int = 0
    new_tokens: int = 0

    @property
    def cost(self) -> float:
        """In the currency of the prices."""
        return self._price(self.prompt_tokens, self.new_tokens)

    def spend(self, requests: int, prompt_tokens: int, new_tokens: int) -> None:
        """Count requests that were answered."""
        self.requests += requests
        self.prompt_tokens += prompt_tokens
        self.new_tokens += new_tokens

    def hinders(self, prompts: list[str], most_new: int) -> str:
        """The cap that further requests may go over, by their estimate; "" for none.

        Args:
            most_new: tokens of a reply, at most.
        """
        asked, replied = sum(map(estimated, prompts)), most_new * len(prompts)
        tokens = self.prompt_tokens + self.new_tokens + asked + replied
        for name, cap, value in (
            ("max_requests", self.max_requests, self.requests + len(prompts)),
            ("max_tokens", self.max_tokens, tokens),
            ("max_cost", self.max_cost, self.cost + self._price(asked, replied)),
        ):
            if cap is not None and value > cap:
                return f"{name}={cap:g}"
        return ""

    def _price(self, prompt_tokens: int, new_tokens: int) -> float:
        return (prompt_tokens * self.input_price + new_tokens * self.output_price) / 1e6


def estimated(prompt: str) -> int:
    """Tokens of a prompt, before anybody has counted them."""
    return len(prompt.encode()) // _BYTES_PER_TOKEN + 1
