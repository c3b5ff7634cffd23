"""Topics: one look for all listeners, none for nobody."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tunesmith_library_studio.topics import Message, Topics
from tunesmith_library_studio.workspace import OutsideWorkspace, Workspace


class Counting:
    """Counts the looks at it."""

    def __init__(self, name: str) -> None:
        self.name, self.looks = name, 0

    def first(self) -> list[Message]:
        return [Message(f"count:{self.name}", "state", self.looks)]

    def changes(self) -> list[Message]:
        self.looks += 1
        return [Message(f"count:{self.name}", "changed", self.looks)]


async def take(topics: Topics, names: list[str], count: int) -> list[Message]:
    found: list[Message] = []
    listening = topics.listen(names)
    async for message in listening:
        found.append(message)
        if len(found) == count:
            break
    await listening.aclose()  # type: ignore[attr-defined]
    return found


def test_all_listeners_share_one_look() -> None:
    made: list[Counting] = []

    def make(name: str) -> Counting:
        made.append(Counting(name))
        return made[-1]

    async def listen() -> list[list[Message]]:
        topics = Topics(pause=0.01)
        topics.offer("count", make)
        return await asyncio.gather(*(take(topics, ["count:a"], 4) for _ in range(20)))

    heard = asyncio.run(listen())
    assert len(made) == 1 and made[0].looks <= 6
    assert all(messages[0].type == "state" and messages[-1].type == "changed" for messages in heard)


def test_a_topic_that_is_not_there_is_told() -> None:
    (message,) = asyncio.run(take(Topics(), ["nothing:a"], 1))
    assert message.type == "error" and "nothing" in message.data


def test_paths_stay_in_the_workspace(tmp_path: Path) -> None:
    (tmp_path / "root" / "data").mkdir(parents=True)
    (tmp_path / "models").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path)
    workspace = Workspace(Path("runs"), tmp_path / "root", [tmp_path / "models"])
    assert workspace.path("data/a.json") == tmp_path / "root" / "data" / "a.json"
    assert workspace.path(tmp_path / "models" / "a").parent == tmp_path / "models"
    assert workspace.shown(workspace.path("runs/a")) == "runs/a"
    for written in ("..", "/etc/passwd", "data/../../x", "link/secret", "~root/x"):
        with pytest.raises(OutsideWorkspace, match="outside of the workspace"):
            workspace.path(written)
