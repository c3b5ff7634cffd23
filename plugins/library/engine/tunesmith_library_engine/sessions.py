"""A run's model that answers: `tunesmith.chat` and `tunesmith.ChatSession`."""

from __future__ import annotations

from collections.abc import Sequence

from tunesmith.assemble import assemble
from tunesmith.catalog import Catalog
from tunesmith.compose import Overrides, compose
from tunesmith.pipeline import Config, model_handle
from tunesmith.types import Conversation, Message, Sampling

from tunesmith_library_engine.chatting import Chat


class ChatSession(Chat):
    """A model that stays loaded: `with ChatSession(run) as session: for piece in session.answer([messages]): …`."""

    def __init__(self, config: Config, overrides: Overrides = None, *, catalog: Catalog | None = None) -> None:
        composition = compose(config, overrides, catalog)
        run = assemble(composition, "chat", catalog)
        super().__init__(model_handle(run, composition), run.hook.open_engine)


def chat(
    config: Config,
    conversations: Sequence[Conversation | Sequence[Message]],
    overrides: Overrides = None,
    *,
    sampling: Sampling | None = None,
    stop: Sequence[str] = (),
    catalog: Catalog | None = None,
) -> list[str]:
    """Answer conversations together.

    Args:
        config: a run's folder, or a configuration that names a model.
        conversations: `[[{"role": "user", "content": "Who are you?"}]]`.

    Returns: the answers, one per conversation.
    """
    answers = [""] * len(conversations)
    with ChatSession(config, overrides, catalog=catalog) as session:
        for piece in session.answer(conversations, sampling, stop=stop):
            answers[piece.index] += piece.text
    return answers
