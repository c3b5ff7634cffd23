"""Prompts that lose their beginning: answers stay whole, turns that are left have their marks, and no more is lost."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import pytest
from tunesmith_library_chat import ChatTemplate
from tunesmith_library_formats import tallying
from tunesmith_library_training.answers import LogProbStage
from tunesmith_library_training.pairs import PairStage

JINJA = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}{% generation %}{{ m.content }}"
    "<|im_end|>{% endgeneration %}{% else %}{{ m.content }}<|im_end|>{% endif %}{% endfor %}"
)
TEMPLATE = ChatTemplate("small", JINJA, ("<|im_end|>",))
ANSWERS = ("chosen", "rejected")
WORDS = ["tide", "whale", "sings", "鲸鱼", "🐋", "moon"]


@dataclass(kw_only=True, eq=False)
class Stage(PairStage, LogProbStage):
    NAME = "mine"


def row(generator: random.Random) -> dict[str, Any]:
    def said(most: int) -> str:
        return " ".join(generator.choices(WORDS, k=generator.randint(1, most)))

    prompt = [{"role": "system", "content": "Be brief."}] if generator.random() < 0.5 else []
    for _ in range(generator.randint(0, 3)):
        prompt += [{"role": "user", "content": said(15)}, {"role": "assistant", "content": said(15)}]
    prompt.append({"role": "user", "content": said(30)})
    answers = [[{"role": "assistant", "content": said(10)}] for _ in range(2)]
    return {"prompt": prompt, "chosen": answers[0], "rejected": answers[1]}


def text(messages: list[dict[str, Any]]) -> str:
    return "".join(f"<|im_start|>{message['role']}\n{message['content']}<|im_end|>" for message in messages)


def test_answers_stay_whole(tiny_bpe: Any) -> None:
    generator = random.Random(6)
    shortened = 0
    for _ in range(60):
        given = row(generator)
        longest = max(tokens(tiny_bpe, text(given["prompt"]), given[name]) for name in ANSWERS)
        least = text(given["prompt"][:1] if given["prompt"][0]["role"] == "system" else [])
        room = text([{"role": "user", "content": "moon"}]) + max((text(given[name]) for name in ANSWERS), key=len)
        most = generator.randint(len(tiny_bpe(least + room, add_special_tokens=False).input_ids) + 8, longest + 40)
        with tallying() as tally:
            columns = Stage(max_length=most, longer="cut_prompt").encode(
                rows=[given], processor=tiny_bpe, template=TEMPLATE
            )
        prompts = set()
        for name in ANSWERS:
            [ids] = columns[f"{name}_input_ids"]
            said = tiny_bpe.decode(ids)
            answer = text(given[name])
            assert len(ids) <= most and said.endswith(answer)
            assert tiny_bpe.decode([label for label in columns[f"{name}_labels"][0] if label != -100]) + "" == (
                answer.removeprefix("<|im_start|>assistant\n")
            )
            prompts.add(said.removesuffix(answer))
        [prompt] = prompts  # the same one for both
        assert prompt.startswith(least) and text(given["prompt"]).endswith(prompt[len(least) :].partition("\n")[2])
        shortened += longest > most
        assert tally.sizes.cut == (longest > most) and (tally.sizes.removed > 0) == (longest > most)
        whole = [
            turns
            for start, message in enumerate(given["prompt"])
            if message["role"] == "user"
            and max(tokens(tiny_bpe, least + (turns := text(given["prompt"][start:])), given[name]) for name in ANSWERS)
            <= most
        ]
        if whole:
            assert prompt == least + whole[0], "as many whole turns as have room"
        else:
            assert max(len(columns[f"{name}_input_ids"][0]) for name in ANSWERS) >= most - 3
    assert shortened > 20


def tokens(tokenizer: Any, prompt: str, answer: list[dict[str, Any]]) -> int:
    return len(tokenizer(prompt + text(answer), add_special_tokens=False).input_ids)


@pytest.mark.parametrize("most", [3, 12, 25])
def test_answers_without_room_lose_their_end(tiny_bpe: Any, most: int) -> None:
    """Or their row is left out and counted."""
    rows = [row(random.Random(seed)) for seed in range(12)]
    with tallying() as tally:
        columns = Stage(max_length=most, longer="cut_prompt").encode(rows=rows, processor=tiny_bpe, template=TEMPLATE)
    kept = columns["chosen_input_ids"]
    assert len(kept) + tally.lost == len(rows) and all(len(ids) <= most for ids in kept)


def test_question_and_answers_without_room_lose_in_proportion(tiny_bpe: Any) -> None:
    """A long question leaves room for a short answer beside one that has none, and no row is left out."""
    asked, short, long = (" ".join(["moon"] * times) for times in (120, 8, 60))
    answers = {name: [{"role": "assistant", "content": said}] for name, said in (("chosen", short), ("rejected", long))}
    given = {"prompt": [{"role": "user", "content": asked}], **answers}
    whole = tokens(tiny_bpe, text(given["prompt"]), given["rejected"])
    most = tokens(tiny_bpe, "", given["rejected"]) - 10
    columns = Stage(max_length=most, longer="cut_prompt").encode(rows=[given], processor=tiny_bpe, template=TEMPLATE)
    left = tiny_bpe.decode(columns["rejected_input_ids"][0]).partition("<|im_start|>assistant")
    assert left[0].count("moon") == pytest.approx(120 * most / whole, abs=2)
    assert 0 < left[2].count("moon") < 60
    assert tiny_bpe.decode(columns["chosen_input_ids"][0]).endswith(f"{short}<|im_end|>")
