"""Asks a server for the run's own conversations, and compares; nothing heavy is imported before it has answered."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith import TunesmithError
from tunesmith.errors import choices

from tunesmith_command_verify.client import Client, Refused
from tunesmith_command_verify.findings import Asked, Findings
from tunesmith_command_verify.replies import Reply, echoed, reply_of, tokens_of

if TYPE_CHECKING:
    from tunesmith.types import ModelHandle
    from tunesmith_library_proving.texts import Text

    from tunesmith_command_verify.trained import Trained

_ANSWER = 16  # tokens that are asked of each answer
_ECHO = 128  # tokens of each conversation that are asked back
_SHOWN = 40  # characters of a question
_PLAIN = ("system", "user", "assistant")


def verified(
    run: str,
    url: str,
    model: str | None,
    api_key_env: str | None,
    tolerance: float,
    timeout: float,
    wait: float = 0.0,
) -> Findings:
    """Compare what a server answers with the trained model.

    Args:
        model: its name on the server; None where that has one.
        api_key_env: the variable that holds the key.
        tolerance: nats by which log-probabilities may differ on the mean.
        timeout: seconds for one answer.
        wait: seconds for a server to start that refuses connections, or answers 503.

    Raises: TunesmithError when the server cannot be asked, or nothing of its answers can be compared.
    """
    client = Client(url, _key(api_key_env), timeout)
    client.wait(wait)
    name = chosen(client.models(), model, client.root)

    import tunesmith
    from tunesmith_library_proving.texts import texts_of

    handle: Any = tunesmith.open_model(run) if Path(run).exists() else tunesmith.open_model(None, {"model.path": run})
    texts = texts_of(handle)
    server = _Server(client, name)
    questions = [each for text in texts.texts if (each := _question(text, handle)) is not None]
    replies = [server.chat(turns, text.tools) for text, turns, _ in questions]  # before the model is loaded
    if not any(reply.text or reply.pieces for reply in replies):
        raise TunesmithError(f"{name} at {client.root} answers nothing to any of {len(replies)} conversations")

    from tunesmith_command_verify.trained import Trained

    trained = Trained(handle)
    asked = [_asked(prompt, r, handle, trained) for (_, _, prompt), r in zip(questions, replies, strict=True)]
    own = [value for text in texts.texts for value in server.apart(text.ids[:_ECHO], handle, trained)]
    over = len(texts.texts) - len(questions)
    found = Findings(
        client.root, name, texts.origin, tolerance, tuple(asked), over, tuple(own), server.notes(asked, own)
    )
    if found.same_choice is None and not own and not found.problems():
        raise TunesmithError(f"nothing that {name} at {client.root} answers can be compared: {'; '.join(found.notes)}")
    return found


def _key(variable: str | None) -> str | None:
    if variable is None:
        return None
    value = os.environ.get(variable, "").strip()
    if not value:
        raise TunesmithError(f"--api-key-env {variable}: there is no such variable, or it is empty.\n  set it first")
    if not value.isascii() or not value.isprintable():
        raise TunesmithError(f"--api-key-env {variable}: its value is no key, which is one line of Latin letters")
    return value


def chosen(names: Sequence[str] | None, asked: str | None, server: str) -> str:
    """The model's name on the server; a tag that is left out is `latest`, as Ollama has it.

    Raises: TunesmithError with the names that there are.
    """
    if names is None or not names:
        if asked is None:
            raise TunesmithError(f"{server} does not say what it serves.\n  --model NAME says it")
        return asked
    if asked is None and len(names) == 1:
        return names[0]
    found = next((name for name in (asked, f"{asked}:latest") if name in names), None)
    if found is None:
        what = f"{server} serves no model {asked}" if asked else f"{server} serves {len(names)} models"
        raise TunesmithError(f"{what}.\n{choices(asked or '', set(names), 'models')}\n  --model NAME chooses one")
    return found


def _question(text: Text, handle: ModelHandle) -> tuple[Text, list[dict[str, Any]], str] | None:
    """The turns before the last answer, and the prompt that they are; up to the first question where some of them are
    calls of tools; None of what is no conversation."""
    roles = [turn["role"] for turn in text.messages]
    if "user" not in roles:
        return None
    turns = [dict(turn) for turn in text.messages[: roles.index("user") + 1]]
    if "assistant" in roles:
        before = [dict(turn) for turn in text.messages[: len(roles) - 1 - roles[::-1].index("assistant")]]
        plain = all(turn["role"] in _PLAIN and not turn.get("tool_calls") for turn in before)
        turns = before if plain and before and before[-1]["role"] == "user" else turns
    if not all(isinstance(turn.get("content"), str) for turn in turns):
        return None
    try:
        prompt = handle.template.render(turns, list(text.tools) or None, add_generation_prompt=True).text
    except TunesmithError:
        return None
    return text, [{"role": turn["role"], "content": turn["content"]} for turn in turns], prompt


class _Server:
    """Asks one model, and remembers what its server does not do."""

    def __init__(self, client: Client, model: str) -> None:
        self._client, self._model = client, model
        self._log_probs, self._late, self._unechoed = True, False, 0
        self._echo: list[str] = ["ids", "text"]  # in which forms a text may still be asked back

    def chat(self, turns: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]]) -> Reply:
        """The likeliest answer, with log-probabilities where the server gives them."""
        question = {"model": self._model, "messages": turns, "temperature": 0, "max_tokens": _ANSWER}
        question |= {"tools": list(tools)} if tools else {}
        if self._log_probs:
            try:
                return reply_of(
                    self._client.post("chat/completions", {**question, "logprobs": True, "top_logprobs": 1})
                )
            except Refused as error:
                if error.status in (401, 403, 404, 429):
                    raise
                self._log_probs = False  # which a second refusal, without them, would contradict
        return reply_of(self._client.post("chat/completions", question))

    def apart(self, ids: Sequence[int], handle: ModelHandle, trained: Trained) -> list[float]:
        """The log-probabilities of a conversation's own tokens less the trained ones; [] where it gives none."""
        import torch

        theirs = self._echoed(ids, handle) if len(ids) > 1 else None
        if theirs is None:
            self._unechoed += 1
            return []
        said = trained.log_probs(ids, len(ids))
        own = torch.tensor([list(ids[1:])]).T
        given = torch.tensor(theirs)
        # llama-cpp-python reads a text that begins with no BOS one place late: each token from what comes after itself
        right, late = (given - rows.gather(1, own)[:, 0] for rows in (said[:-1], said[1:]))
        self._late = bool(late.abs().mean() < right.abs().mean())
        return [float(value) for value in (late if self._late else right)]

    def _echoed(self, ids: Sequence[int], handle: ModelHandle) -> tuple[float, ...] | None:
        from tunesmith_library_chat import tokenizer_of

        question = {"model": self._model, "max_tokens": 1, "temperature": 0, "echo": True, "logprobs": 1}
        while self._echo:
            prompt = list(ids) if self._echo[0] == "ids" else tokenizer_of(handle.processor).decode(list(ids))
            try:
                found = echoed(self._client.post("completions", {**question, "prompt": prompt}), len(ids))
            except TunesmithError:
                found = None
            if found is not None:
                return found
            self._echo.pop(0)
        return None

    def notes(self, asked: Sequence[Asked], own: Sequence[float]) -> tuple[str, ...]:
        """What the server does not give, so that it was not compared."""
        notes = []
        if not own and not any(each.apart for each in asked):
            notes.append(
                "the server gives no log-probabilities: the words of its answers are compared, not the weights"
            )
        elif self._unechoed:
            notes.append(
                f"the server does not give the log-probabilities of {self._unechoed} conversations' own tokens"
            )
        if own and self._late:
            notes.append("the server gives the conversations' log-probabilities one place late, and is read so")
        unread = sum(not each.behind for each in asked)
        if unread:
            notes.append(f"the words of {unread} answers cannot be compared: empty, or split by the server")
        return tuple(notes)


def _asked(prompt: str, reply: Reply, handle: ModelHandle, trained: Trained) -> Asked:
    from tunesmith_library_chat import tokenizer_of

    tokenizer = tokenizer_of(handle.processor)
    before = tokenizer.encode(prompt, add_special_tokens=False)
    counts = reply.prompt_tokens, len(before)
    question = " ".join(prompt.split())[-_SHOWN:]
    if reply.hidden and not reply.pieces:
        return Asked(question, counts, (), (), reply.text)
    ids, log_probs = tokens_of(reply, tokenizer, trained.likeliest(before, _ANSWER), trained.end_texts)
    said = trained.log_probs([*before, *ids], len(ids) + 1)
    rows = range(len(ids))
    behind = tuple(float(said[at].max() - said[at, ids[at]]) for at in rows)
    apart = tuple(log_probs[at] - float(said[at, ids[at]]) for at in rows) if log_probs else ()
    ending = float(said[-1].max() - said[-1, sorted(trained.ends)].max()) if trained.ends else 0.0
    fault = _fault(reply, len(ids), ending)
    return Asked(question, counts, behind, apart, reply.text, fault)


def _fault(reply: Reply, count: int, behind: float) -> str | None:
    """How an answer ended that the trained model would not have ended there.

    Args:
        count: tokens of the answer.
        behind: by how many nats the trained model would rather go on.
    """
    given = reply.answer_tokens or len(reply.pieces) or count
    if reply.finish == "length" and given < _ANSWER:
        return f"the server cuts them after {given} of the {_ANSWER} tokens that were asked for"
    if reply.finish != "length" and not reply.hidden and given < _ANSWER and behind > 1.0:
        return f"the server ends after {given} tokens, where the trained model goes on"
    return None
