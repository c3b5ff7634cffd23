"""Chat in a real browser with a real tiny model: loaded, asked, asked anew, compared blind, kept as training data."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

LOADED = 60_000  # milliseconds that a tiny model may take, torch's import included

CALL = {
    "index": 0,
    "id": "abc123def",
    "type": "function",
    "function": {"name": "tell", "arguments": '{"city": "Bonn"}'},
}


def test_chat(
    serve: Callable[..., Any],
    open_page: Callable[..., Any],
    axe: Callable[[Any], None],
    tmp_path: Path,
    tiny_llama: Path,
) -> None:
    for name in ("one", "two"):
        shutil.copytree(tiny_llama, tmp_path / "models" / name)
    served = serve(tmp_path)
    page = open_page(f"{served.url}#chat/.%2Fmodels%2Fone")
    page.get_by_role("button", name="How to load it").click()
    page.get_by_label("Further settings").fill("template=chatml\nengine.max_new_tokens=8\nprecision=fp32")
    page.keyboard.press("Escape")
    load(page)
    asks_and_asks_anew(page)
    calls_a_tool(page)
    keeps_a_row(page, tmp_path)
    compares_blind(page, tmp_path)
    axe(page)
    page.get_by_role("button", name="Conversations").click()
    page.get_by_role("searchbox").fill("second question")
    page.get_by_role("dialog").get_by_role("button", name="first question").click()
    page.get_by_text("Who are you, again?").first.wait_for()
    page.get_by_label("Message", exact=True).fill("not sent yet")
    page.reload()
    page.get_by_text("Who are you, again?").first.wait_for()
    assert page.get_by_label("Message", exact=True).input_value() == "not sent yet"
    page.get_by_role("button", name="Unload").first.click()
    page.get_by_text("Load a model first.").wait_for()


def load(page: Any) -> None:
    before = page.get_by_text("ready", exact=True).count()
    page.get_by_role("button", name="Load", exact=True).click()
    page.get_by_text("ready", exact=True).nth(before).wait_for(timeout=LOADED)


def say(page: Any, text: str) -> None:
    page.get_by_label("Message", exact=True).fill(text)
    page.keyboard.press("Enter")


def asks_and_asks_anew(page: Any) -> None:
    say(page, "This is my first question.")
    page.get_by_role("button", name="Retry").click()
    page.get_by_text("2/2").wait_for()
    page.get_by_label("Former version").click()
    page.get_by_text("1/2").wait_for()
    page.get_by_label("Message", exact=True).focus()
    page.keyboard.press("ArrowUp")
    page.get_by_label("Edit", exact=True).fill("Who are you, again?")
    page.get_by_role("button", name="Ask again").click()
    page.get_by_role("button", name="Continue").wait_for()
    assert page.get_by_text("2/2").count() == 1, "the question has two versions, its answer one"
    say(page, "And this is my second question.")
    page.get_by_role("button", name="Continue").wait_for()
    page.get_by_role("button", name="Good", exact=True).last.click()


def calls_a_tool(page: Any) -> None:
    """With an answer that a tiny model would not give."""

    def answer(route: Any) -> None:
        body = json.loads(route.request.post_data)
        given = body["messages"][-1]
        assert body["tools"][0]["function"]["name"] == "get_weather"
        deltas: list[dict[str, Any]] = [{"reasoning_content": "One may ask."}, {"tool_calls": [CALL]}]
        if given["role"] == "tool":
            assert given == {"role": "tool", "name": "tell", "tool_call_id": "abc123def", "content": "sunny"}
            deltas = [{"content": "It is **sunny**."}]
        chunks = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
        text = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks)
        route.fulfill(content_type="text/event-stream", body=text + "data: [DONE]\n\n")

    page.get_by_text("Tools", exact=True).click()
    page.get_by_role("button", name="Put in an example").click()
    page.route("**/api/chats/*/messages", answer)
    say(page, "Is it sunny?")
    page.get_by_label("What tell gave").fill("sunny")
    page.get_by_role("button", name="Go on with it").click()
    page.locator("strong", has_text="sunny").wait_for()
    page.get_by_text("Thoughts").click()
    page.get_by_text("One may ask.").wait_for()
    page.unroute("**/api/chats/*/messages")


def keeps_a_row(page: Any, root: Path) -> None:
    page.get_by_role("button", name="As training row").last.click()
    page.get_by_role("button", name="Append").click()
    page.get_by_text("data/chat.jsonl has 1 row now").wait_for()
    (line,) = (root / "data" / "chat.jsonl").read_text().splitlines()
    roles = [message["role"] for message in json.loads(line)["messages"]]
    assert roles == ["user", "assistant", "user", "assistant", "user", "assistant", "tool", "assistant"]


def compares_blind(page: Any, root: Path) -> None:
    page.get_by_label("Two models side by side").check()
    page.get_by_label("Hide their names").check()
    page.get_by_role("combobox", name="Second model").fill("./models/two")
    page.keyboard.press("Escape")  # closes the suggestions; the field is not left
    load(page)
    say(page, "Which of you is better?")
    page.get_by_role("button", name="A is better").click()
    page.get_by_text("Your vote is kept.").wait_for()
    (vote,) = [json.loads(line) for line in (root / "runs" / ".studio" / "votes.jsonl").read_text().splitlines()]
    assert vote["blind"] and {vote["left"], vote["right"]} == {"models/one", "models/two"} and vote["winner"] == "left"
    page.locator(".turns").first.get_by_text(vote["left"]).wait_for()
    page.get_by_role("button", name="As a preference row").click()
    page.get_by_role("button", name="Append").click()
    page.get_by_text("data/chat_dpo.jsonl has 1 row now").wait_for()
