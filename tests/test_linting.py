"""`tunesmith data check` over sets with faults that were put there, and over the demo sets."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tunesmith.cli import cli
from tunesmith_library_linting import Item, read_set

SHARED = Path(__file__).parents[2] / "shared" / "data"
THINGS = "river bridge lantern orchard compass violin glacier harbour meadow telescope kettle pigeon marble thunder "
THINGS += "walnut saddle copper feather island magnet basket candle ribbon tunnel anchor pepper mirror ladder bottle"
WORDS = re.findall(r"\w+", THINGS)
CITY = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}, "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": CITY}}
QUESTION = "Which of the seven old bridges over the northern river was built before the harbour was closed?"


def user(text: Any) -> dict[str, Any]:
    return {"role": "user", "content": text}


def said(text: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def calls(arguments: Any, name: str = "weather", call_id: str = "a") -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"role": "assistant", "content": "", "tool_calls": [{"id": call_id, "function": function}]}


def result(call_id: str = "a") -> dict[str, Any]:
    return {"role": "tool", "content": "22 degrees", "tool_call_id": call_id}


def talk(*messages: dict[str, Any], **beside: Any) -> dict[str, Any]:
    return {"messages": list(messages), **beside}


def called(arguments: Any, name: str = "weather", answered: str = "a", tools: Any = None) -> dict[str, Any]:
    answer = said("It is warm there, and it will stay so.")
    asked = user(f"How is the weather there, {random.random()}?")
    return talk(asked, calls(arguments, name), result(answered), answer, tools=[TOOL] if tools is None else tools)


def passage(seed: int) -> str:
    """Twenty words that no other seed gives, as a sentence."""
    drawn = random.Random(seed)
    return f"The {' and the '.join(drawn.sample(WORDS, 10))} were all there in the year {seed}."


def good(seed: int) -> dict[str, Any]:
    return talk(user(f"What do you know of the {passage(seed)[4:40]}?"), said(passage(seed + 500)))


def question(seed: int, answer: str, **beside: Any) -> dict[str, Any]:
    return talk(user(f"Tell me something about number {seed}, please."), said(answer), **beside)


def changed(row: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(json.dumps(row).replace(old, new))
    assert made != row
    return made


LONG = talk(user("Tell me of all."), said(" ".join(passage(seed) for seed in range(900, 904))))
HELD_OUT = talk(user("Tell me of the others."), said(" ".join(passage(seed) for seed in range(950, 954))))
ALSO_HELD_OUT = talk(user("Tell me of the rest."), said(" ".join(passage(seed) for seed in range(960, 964))))

FAULTS: Sequence[tuple[str, dict[str, Any]]] = [
    ("empty", talk(user(""), said(passage(1)))),
    ("empty", question(2, "")),
    ("empty", question(3, " \n\u200b ")),
    ("empty", talk({"role": "system", "content": ""}, user("Who are you, once more?"), said(passage(4)))),
    ("format", {"messages": []}),
    ("format", talk({"role": "narrator", "content": "Once upon a time."}, said(passage(5)))),
    ("format", talk(user(7), said(passage(6)))),
    ("role_order", talk(user("Is anybody there at all?"))),
    ("duplicate", good(1)),
    ("duplicate", changed(good(2), "were all there", "WERE  all there")),
    ("near_duplicate", changed(LONG, "year 902", "year 1902")),
    ("role_order", talk(user("Listen to me now."), user("What is that over there?"), said(passage(7)))),
    ("role_order", talk(user("What is that behind it?"), said(passage(8)), said(passage(9)))),
    ("role_order", talk(user("What else?"), {"role": "system", "content": "Be kind."}, said(passage(10)))),
    ("role_order", talk(user("What is the tool for?"), result(), said(passage(11)))),
    ("role_order", talk(said(passage(12)), user("And what is that?"), said(passage(13)))),
    ("role_order", talk(user("What is this here?"), said(passage(14)), user("And then what happened?"))),
    ("tool_call", called('{"city": "Rome"')),
    ("tool_call", called({"city": "Oslo"}, name="wether")),
    ("tool_call", called({"days": 2})),
    ("tool_call", called({"city": "Bonn", "days": "two"})),
    ("tool_call", called({"city": "Bern"}, tools="[{")),
    ("tool_call", called({"city": "Kiel"}, answered="b")),
    ("tool_call", called({"x": 1}, tools=[{"name": "weather", "parameters": {"type": "thing"}}])),
    ("tool_call", question(15, '<tool_call>\n{"name": "weather", "arguments": {\n</tool_call>')),
    ("media", talk(user("<image>What is in the picture?"), said(passage(16)))),
    ("media", talk(user("What is in this picture?"), said(passage(17)), images=["here.png"])),
    ("media", talk(user("<image>What is in that one?"), said(passage(18)), images=["gone.png"])),
    ("media", talk(user("<video><video>What moves in these?"), said(passage(19)), videos=["here.png"])),
    ("too_long", question(20, " ".join(passage(seed) for seed in range(700, 725)))),
    ("cut_off", question(21, "This is how it is done:\n```python\nfor item in items:")),
    ("cut_off", question(22, "Nobody had ever seen the old lantern at the bridge, and it was said that the")),
    ("cut_off", question(23, "<think>Let me see what there is to say of it.")),
    ("cut_off", question(24, '{"name": "lantern", "parts": [{"name": "glass"}, {"name":')),
    ("language", question(25, "这条河上有一座很古老的桥，人们都说它是在很多年以前建成的，现在仍然很结实。")),
    ("language", question(26, "Die Brücke ist sehr alt und sie wird nicht mehr von den Leuten in der Stadt benutzt.")),
    ("language", question(27, "Этот мост очень старый, и люди больше не ходят по нему через реку.")),
    ("leak", HELD_OUT),
    ("leak", changed(ALSO_HELD_OUT, "year 962", "year 1962")),
    ("leak", talk(user(f"Now answer this. {QUESTION} Think first."), said(passage(28)))),
    ("secret", question(29, "The key is AKIAQ3EGRZTWB7YXLMN4, keep it.")),
    ("secret", question(30, "Use ghp_aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA4 for that.")),
    (
        "secret",
        question(31, "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7bq3kZ0x\n-----END RSA PRIVATE KEY-----"),
    ),
    ("personal", question(32, "Write to erika.mustermann@posteo.de about it.")),
    ("personal", question(33, "My card is 4539 1488 0343 6467, if you need it.")),
    ("personal", question(34, "Send it to DE89 3704 0044 0532 0130 00, please.")),
]
PAIRS: Sequence[tuple[str, dict[str, Any]]] = [
    ("same_answers", {"prompt": "What is it?", "chosen": passage(40), "rejected": f"{passage(40)} "}),
    ("empty", {"prompt": "What is that?", "chosen": "", "rejected": passage(41)}),
    ("role_order", {"prompt": [user("What?"), said("That.")], "chosen": passage(42), "rejected": passage(43)}),
]


def write(path: Path, rows: Sequence[dict[str, Any]]) -> str:
    path.write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows), encoding="utf-8")
    return str(path)


@pytest.fixture
def seeded(tmp_path: Path) -> tuple[list[str], dict[tuple[str, int | None], str]]:
    """The words of a call, and which fault each row has that has one."""
    (tmp_path / "here.png").write_bytes(b"")
    rows = [LONG] + [good(seed) for seed in range(1, 121)]
    expected: dict[tuple[str, int | None], str] = {}
    for number, (_, row) in enumerate(FAULTS):
        rows.insert(122 - len(FAULTS) + 2 * number, row)  # between good ones, behind what they are copies of
    for check, row in FAULTS:
        expected["train.jsonl", rows.index(row, 60 if row == good(1) else 0) + 1] = check
    pairs: list[dict[str, Any]] = []
    for n in range(60, 80, 2):
        pairs.append({"prompt": f"What about {n}?", "chosen": passage(n), "rejected": passage(n + 1)})
    for fault, pair in PAIRS:
        pairs.append(pair)
        expected["pairs.jsonl", len(pairs)] = fault
    labels = [{"prompt": f"What of {n}?", "completion": passage(n), "label": n != 200} for n in range(200, 220)]
    expected["labels.jsonl", None] = "labels"
    words = [
        write(tmp_path / f"{name}.jsonl", made)
        for name, made in (("train", rows), ("pairs", pairs), ("labels", labels))
    ]
    words += ["--eval", write(tmp_path / "eval.jsonl", [HELD_OUT, ALSO_HELD_OUT, good(7000)])]
    words += ["--benchmark", write(tmp_path / "benchmark.jsonl", [{"id": 1, "stem": QUESTION, "choices": ["a", "b"]}])]
    return [*words, "--max-length", "2000"], expected


def check(*words: str) -> tuple[int, dict[str, Any]]:
    done = CliRunner().invoke(cli, ["--quiet", "data", "check", *words, "--json"])
    assert done.exit_code in (0, 1), done.output
    return done.exit_code, json.loads(done.stdout)


@pytest.mark.slow
def test_every_seeded_fault_is_found_at_its_row_and_nothing_else(seeded: Any) -> None:
    words, expected = seeded
    assert len(expected) == len(FAULTS) + len(PAIRS) + 1 >= 40
    code, report = check(*words)
    found: dict[tuple[str, int | None], set[str]] = {}
    for finding in report["findings"]:
        found.setdefault((finding["data"], finding["row"]), set()).add(finding["check"])
    assert found == {place: {check} for place, check in expected.items()}
    assert code == 1
    assert all(one["place"] == f"line {one['row']}" for one in report["findings"] if one["row"])


@pytest.mark.real
@pytest.mark.slow
def test_on_the_demo_sets_the_only_error_is_one() -> None:
    """A call with a list for a number, which stands in the file so; the rest are warnings."""
    names = ["alpaca_en", "alpaca_zh", "dpo_en", "glaive_toolcall_en", "kto_en", "mllm"]
    names += ["mllm_audio", "mllm_video", "mllm_video_audio"]
    files = [*(f"{name}_demo.json" for name in names), "identity.json", "reason_tool_use_demo_50.jsonl"]
    files += ["c4_demo.jsonl", "wiki_demo.txt"]
    code, report = check(*(str(SHARED / file) for file in files))
    errors = [one for one in report["findings"] if one["severity"] == "error"]
    assert [(one["data"], one["row"], one["check"]) for one in errors] == [
        ("glaive_toolcall_en_demo.json", 260, "tool_call")
    ]
    call = json.loads((SHARED / files[3]).read_text(encoding="utf-8"))[259]["conversations"][3]
    assert json.loads(call["value"])["arguments"]["calories_per_item"] == [150, 350, 800]
    assert code == 1
    assert {data: about["rows"] for data, about in report["sets"].items()} == {
        file: _records(SHARED / file) for file in files
    }


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("format", ["alpaca", "openai", "sharegpt"])
def test_a_converted_set_has_the_rows_that_it_had(tmp_path: Path, format: str) -> None:
    for name in ("alpaca_en", "dpo_en", "glaive_toolcall_en", "kto_en", "mllm"):
        before, after = rows_of(SHARED / f"{name}_demo.json"), tmp_path / f"{name}.jsonl"
        done = CliRunner().invoke(
            cli, ["data", "convert", str(SHARED / f"{name}_demo.json"), str(after), "--to", format]
        )
        calls_tools = format == "alpaca" and name == "glaive_toolcall_en"  # for which Alpaca's records have no place
        assert done.exit_code == (1 if calls_tools else 0), done.output
        if calls_tools:
            before = [row for row in before if not any("tool_calls" in message for message in row["messages"])]
        assert rows_of(after, format=format) == [_here(row) for row in before]


def _here(row: Any) -> Any:
    """A row whose images are named so that they are found from elsewhere."""
    return row | {"images": [str((SHARED / image).resolve()) for image in row["images"]]} if "images" in row else row


def rows_of(path: Path, **options: Any) -> list[Any]:
    items: list[Item] = []
    assert read_set({"path": str(path), **options}, "a", items.extend) == ""
    return [item.content for item in items]


def test_a_format_of_ones_own_is_linted_too(tmp_path: Path) -> None:
    own = tmp_path / "own.py"
    own.write_text(OWN, encoding="utf-8")
    data = write(tmp_path / "a.jsonl", [{"q": "Who?", "a": "Me."}, {"q": "What?", "a": 3}, {"q": "Why?", "a": ""}])
    code, report = check(data, f"format={own}:Own")
    assert [(one["row"], one["check"]) for one in report["findings"]] == [(2, "format"), (3, "empty")]
    assert code == 1


OWN = """
from tunesmith import DataError, hookimpl, plugin

@plugin
class Own:
    \"\"\"`q` and `a`.\"\"\"

    @hookimpl
    def to_rows(self, records):
        for record in records:
            if not isinstance(record["a"], str):
                raise DataError(f"{records.place}: `a` is no text")
            yield {"messages": [
                {"role": "user", "content": record["q"]}, {"role": "assistant", "content": record["a"]}
            ]}
"""


def _records(path: Path) -> int:
    text = path.read_text(encoding="utf-8")
    return len(json.loads(text)) if path.suffix == ".json" else sum(bool(line.strip()) for line in text.splitlines())
