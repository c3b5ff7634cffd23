"""Conversations that are kept, votes, and the rows that come of them."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from tunesmith import TunesmithError
from tunesmith_library_studio.chats.conversations import Changed, Conversations, as_markdown, path_of
from tunesmith_library_studio.chats.media import MediaFiles
from tunesmith_library_studio.chats.rows import row_of
from tunesmith_library_studio.chats.votes import Votes, standing


def talk(**changed: Any) -> dict[str, Any]:
    nodes = [
        {"id": "a", "parent": None, "role": "user", "content": "Who are\nyou, whale?"},
        {"id": "b", "parent": "a", "role": "assistant", "content": "A tide.", "model": "runs/x", "reasoning": "Well"},
        {"id": "c", "parent": "a", "role": "assistant", "content": [{"type": "text", "text": "A wave."}]},
    ]
    return {"nodes": nodes, "leaf": "b", "settings": {"seed": 1}, **changed}


def test_conversations_are_kept_and_found(tmp_path: Path) -> None:
    kept = Conversations(tmp_path / "conversations")
    assert kept.list() == {"items": [], "total": 0}
    first = kept.save(talk())
    assert (first["title"], first["revision"], "nodes" in first) == ("Who are you, whale?", 1, False)
    assert kept.get(first["id"])["settings"] == {"seed": 1}
    again = kept.save({**talk(leaf="c", title="Tides"), "id": first["id"], "revision": 1})
    assert again["revision"] == 2 and again["created"] == first["created"]
    (found,) = kept.list("WAVE tides")["items"]
    assert (found["id"], found["messages"], found["model"]) == (first["id"], 2, "runs/x")
    assert kept.list("whale wind")["total"] == 0
    second = kept.save(talk())
    assert [each["id"] for each in kept.list(limit=1)["items"]] == [second["id"]] and kept.list()["total"] == 2
    (kept.folder / "0123456789abcdef.json").write_text("{", encoding="utf-8")
    assert kept.list()["total"] == 2, "a broken file hides none of the others"
    kept.remove(first["id"])
    assert kept.list()["total"] == 1
    for id in (first["id"], "../votes", "0" * 15):
        for act in (kept.get, kept.remove):
            with pytest.raises(TunesmithError, match="no conversation"):
                act(id)


def test_two_windows_do_not_lose_what_the_other_one_wrote(tmp_path: Path) -> None:
    kept = Conversations(tmp_path)
    made = kept.save(talk())
    outcomes: list[str] = []

    def save(number: int) -> None:
        try:
            kept.save({**talk(title=str(number)), "id": made["id"], "revision": 1})
            outcomes.append("kept")
        except Changed:
            outcomes.append("told")

    threads = [threading.Thread(target=save, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["kept", *["told"] * 7] and kept.get(made["id"])["revision"] == 2


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"nodes": None}, "a list of"),
        ({"nodes": [{"id": "a", "role": "king"}]}, r"nodes\[0\] is no message"),
        ({"nodes": [{"id": "a", "role": "user", "parent": "z"}], "leaf": None}, "does not stand before it"),
        ({"nodes": [{"id": "a", "role": "user"}] * 2, "leaf": None}, "two messages 'a'"),
        ({"leaf": "z"}, "no message of the conversation"),
    ],
)
def test_what_is_no_conversation(tmp_path: Path, changed: dict[str, Any], told: str) -> None:
    with pytest.raises(TunesmithError, match=told):
        Conversations(tmp_path).save(talk(**changed))
    assert not list(tmp_path.iterdir())


def test_a_branch_is_shown() -> None:
    assert [node["id"] for node in path_of(talk(leaf="c"))] == ["a", "c"] and path_of(talk(leaf=None)) == []
    text = as_markdown(talk(title="Tides"))
    assert text == "# Tides\n\n## user\n\nWho are\nyou, whale?\n\n## assistant (runs/x)\n\n> Well\n\nA tide.\n"


def test_rows_are_read_as_data(tmp_path: Path) -> None:
    """By the format that they are written in; media are files."""
    from tunesmith_library_studio.data.formats import installed

    media = MediaFiles(tmp_path)
    image = media.keep(b"\x89PNG\r\n", "image/png; x=1")
    asked = {
        "role": "user",
        "content": [{"type": "image_url", "image_url": {"url": image}}, {"type": "text", "text": "?"}],
    }
    good, bad = {"role": "assistant", "content": "A whale."}, {"role": "assistant", "content": "A wind."}
    tools = [{"type": "function", "function": {"name": "look"}}]
    read = installed()["openai"]().to_rows

    def row(**more: Any) -> Any:
        (found,) = read([json.loads(json.dumps(row_of([asked, good], media, **more)))], {})
        return found

    plain = row(tools=tools)
    assert plain["messages"][1]["content"] == "A whale." and plain["images"] == [str(media.file(image))]
    assert "look" in json.dumps(plain["tools"])
    assert row(good=False)["label"] is False
    preferred = row(rejected=[bad])
    assert preferred["chosen"][0]["content"] == "A whale." and preferred["rejected"][0]["content"] == "A wind."
    with pytest.raises(TunesmithError, match="ends with an answer"):
        row_of([asked], media)
    asked["content"][0]["image_url"] = {"url": "/etc/passwd"}  # type: ignore[index]
    with pytest.raises(TunesmithError, match="names files that are kept here"):
        row_of([asked, good], media)


def test_media_are_kept_once_and_are_nothing_that_runs(tmp_path: Path) -> None:
    media = MediaFiles(tmp_path / "media")
    address = media.keep(b"RIFF", "audio/wav")
    assert media.keep(b"RIFF", "audio/wav") == address and len(list(media.folder.iterdir())) == 1
    assert media.data_url(address) == "data:audio/wav;base64,UklGRg=="
    for kind in ("image/svg+xml", "text/html", ""):
        with pytest.raises(TunesmithError, match="cannot be shown"):
            media.keep(b"<svg/>", kind)
    for name in ("media:../votes.jsonl", "media:" + "0" * 40 + ".png", "media:x.html"):
        with pytest.raises(TunesmithError, match="no such file"):
            media.file(name)


def test_votes_are_counted_whichever_side_a_model_was_on(tmp_path: Path) -> None:
    votes = Votes(tmp_path / "votes.jsonl")
    assert votes.table() == []
    for left, right, winner in [("x", "y", "left"), ("y", "x", "right"), ("y", "x", "left"), ("x", "y", "tie")]:
        votes.add(left, right, winner, blind=winner != "tie")  # type: ignore[arg-type]
    with votes.file.open("a") as file:
        file.write('{"left": ')
    (row,) = votes.table()
    assert (row["first"], row["wins"], row["losses"], row["ties"], row["votes"]) == ("x", 2, 1, 1, 4)
    assert votes.table(blind=True)[0]["votes"] == 3


@pytest.mark.parametrize(
    ("wins", "losses", "low", "high", "p"),
    [(0, 1, 0.0, 0.79345, 1.0), (7, 3, 0.39677, 0.89221, 0.34375), (60, 40, 0.50200, 0.69060, 0.05689)],
)
def test_the_interval_of_a_win_rate_is_wilsons(wins: int, losses: int, low: float, high: float, p: float) -> None:
    """The numbers are those of scipy's `binomtest` and of its `proportion_ci` with `wilson`."""
    row = standing("x", "y", {"left": wins, "right": losses, "tie": 2, "neither": 0})
    assert [row["low"], row["high"], row["p"]] == pytest.approx([low, high, p], abs=1e-5)


def test_votes_for_neither_say_nothing_of_a_rate() -> None:
    assert standing("x", "y", {"left": 0, "right": 0, "tie": 2, "neither": 1})["rate"] is None
