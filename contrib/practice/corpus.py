"""A seeded corpus of made-up conversations in English and Chinese: what the practice model knows before it is tuned.

Questions about what was said before, copies, lists, JSON, small sums, capitals, calls of tools, words of one language
in the other, sentences. There are few patterns and many of each, so that some hundred thousand tokens are enough.
"""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Row = dict[str, Any]
"""`messages`, and `tools` where functions are offered."""


def _words(text: str) -> list[str]:
    return text.split()


WORDS = (Path(__file__).parent / "words.txt").read_text(encoding="utf-8").split()
PLACES = _words("harbour forest workshop garden market library valley kitchen station mill museum bakery school tower")
ANIMALS = _words("fox heron cat horse owl hare goat swan otter bee dog mouse bird bear")
COLOURS = _words("red blue green grey white golden brown black yellow")
THINGS = _words("lamp rope basket clock kettle letter bell ladder wheel map book chair key cup")
COUNTED = _words("apples pears plums lemons eggs coins stamps books cards shells")
NAMES = _words("Anna Ben Clara David Emma Felix Grace Henry Ida Jack Kate Leo Mary Nina Oscar Paul")
DAYS = _words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
VERBS = _words("carries watches finds hides follows mends paints keeps sells")
TIMES = ("In the morning", "At noon", "In the evening", "At night", "After the rain", "Before winter", "Today")
CAPITALS = dict(
    pair.split(":")
    for pair in _words(
        "France:Paris Italy:Rome Germany:Berlin Spain:Madrid Portugal:Lisbon Austria:Vienna Greece:Athens "
        "Norway:Oslo Ireland:Dublin Egypt:Cairo Japan:Tokyo China:Beijing Peru:Lima Poland:Warsaw Finland:Helsinki"
    )
)
# English word: Chinese word
DICTIONARY = dict(
    pair.split(":")
    for pair in _words(
        "fox:狐狸 cat:猫 dog:狗 horse:马 bird:鸟 fish:鱼 lamp:灯 clock:钟 basket:篮子 map:地图 letter:信 book:书 "
        "chair:椅子 table:桌子 cup:杯子 key:钥匙 harbour:港口 forest:森林 garden:花园 market:市场 library:图书馆 "
        "kitchen:厨房 station:车站 school:学校 red:红色 blue:蓝色 green:绿色 white:白色 black:黑色 tea:茶 water:水"
    )
)
ZH_PLACES = _words("港口 森林 花园 市场 图书馆 厨房 车站 学校 医院 茶馆")
ZH_ANIMALS = _words("狐狸 猫 狗 马 鸟 鱼 兔子 山羊")
ZH_THINGS = _words("灯 钟 篮子 地图 信 书 椅子 杯子 钥匙 茶壶")
ZH_COLOURS = _words("红色 蓝色 绿色 白色 黑色 黄色")
ZH_TIMES = _words("早上 中午 晚上 今天 明天 昨天")
ZH_NUMBERS = "零一二三四五六七八九十"


def rows(count: int, seed: int = 0) -> Iterator[Row]:
    """Give conversations as rows with `messages`, and with `tools` where functions are offered."""
    rng = random.Random(seed)
    for _ in range(count):
        yield rng.choices(list(CONVERSATIONS), list(CONVERSATIONS.values()))[0](rng)


def texts(count: int, seed: int = 1) -> Iterator[Row]:
    """Give plain texts as rows with `text`: sentences of the kind that the conversations have, in both languages."""
    rng = random.Random(seed)
    for number in range(count):
        make, gap = ((_sentence, " "), (_zh_sentence, ""))[number % 2]
        yield {"text": gap.join(make(rng) for _ in range(rng.randint(3, 6)))}


def _asked(*said: str) -> Row:
    """What user and assistant say in turn."""
    return {"messages": [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(said)]}


def _sentence(rng: random.Random) -> str:
    colour, animal, thing, place = map(rng.choice, (COLOURS, ANIMALS, THINGS, PLACES))
    return rng.choice(
        (
            f"{rng.choice(TIMES)} the {animal} {rng.choice(VERBS)} a {colour} {thing} in the {place}.",
            f"The {thing} in the {place} is {colour}.",
            f"A {colour} {animal} lives near the {place}.",
            f"{rng.choice(NAMES)} has {rng.randint(2, 20)} {rng.choice(COUNTED)} in the {place}.",
        )
    )


def _story(rng: random.Random) -> Row:
    return _asked("Tell me something.", " ".join(_sentence(rng) for _ in range(rng.randint(1, 3))))


def _sum(rng: random.Random) -> tuple[str, int]:
    if rng.random() < 0.5:
        a, b = rng.randint(1, 12), rng.randint(1, 12)
        return f"{a} + {b}", a + b
    a = rng.randint(2, 20)
    b = rng.randint(1, min(a, 12))
    return f"{a} - {b}", a - b


def _calculation(rng: random.Random) -> Row:
    sum_, result = _sum(rng)
    return _asked(rng.choice((f"What is {sum_}?", f"{sum_} = ?", f"{sum_} 等于几？")), f"{sum_} = {result}")


def _sums(rng: random.Random) -> Row:
    sums = [_sum(rng) for _ in range(rng.randint(2, 4))]
    asked = "Calculate: " + ", ".join(sum_ for sum_, _ in sums)
    return _asked(asked, "\n".join(f"{sum_} = {result}" for sum_, result in sums))


def _copy(rng: random.Random) -> Row:
    words = " ".join(rng.choices(WORDS, k=rng.randint(1, 3)))
    return _asked(rng.choice((f"Repeat: {words}", f"Say this again: {words}", f"请重复： {words}")), words)


def _where(rng: random.Random) -> Row:
    things, places = rng.sample(THINGS, 2), rng.sample(PLACES, 2)
    said = " ".join(f"The {thing} is in the {place}." for thing, place in zip(things, places, strict=True))
    asked = rng.randrange(2)
    return _asked(f"{said} Where is the {things[asked]}?", f"The {things[asked]} is in the {places[asked]}.")


def _about(rng: random.Random) -> Row:
    """Two turns about one sentence."""
    name, thing, place, colour = map(rng.choice, (NAMES, THINGS, PLACES, COLOURS))
    second = rng.choice(((f"What colour is the {thing}?", f"It is {colour}."), ("Where is it?", f"In the {place}.")))
    return _asked(f"{name} has a {colour} {thing} in the {place}. Who has it?", f"{name} has it.", *second)


def _json(rng: random.Random) -> Row:
    some = {
        "name": rng.choice(NAMES),
        "day": rng.choice(DAYS),
        "city": rng.choice(list(CAPITALS.values())),
        "colour": rng.choice(COLOURS),
        "number": rng.randint(1, 60),
    }
    keys = rng.sample(sorted(some), rng.randint(1, 3))
    chosen = {key: some[key] for key in keys}
    return _asked(f"Write as JSON: {', '.join(f'{k} {v}' for k, v in chosen.items())}", json.dumps(chosen))


def _list(rng: random.Random) -> Row:
    number = rng.randint(2, 4)
    what, words = rng.choice((("colours", COLOURS), ("animals", ANIMALS), ("names", NAMES), ("places", PLACES)))
    return _asked(f"Name {number} {what}.", "\n".join(f"- {word}" for word in rng.sample(words, number)))


def _capital(rng: random.Random) -> Row:
    country, city = rng.choice(list(CAPITALS.items()))
    asked = rng.choice((f"What is the capital of {country}?", f"Which city is the capital of {country}?"))
    return _asked(asked, f"The capital of {country} is {city}.")


def _word(rng: random.Random) -> Row:
    english, chinese = rng.choice(list(DICTIONARY.items()))
    return rng.choice((_asked(f"What is {english} in Chinese?", chinese), _asked(f"{chinese}用英语怎么说？", english)))


def _zh_sentence(rng: random.Random) -> str:
    animal, thing, place, colour = map(rng.choice, (ZH_ANIMALS, ZH_THINGS, ZH_PLACES, ZH_COLOURS))
    return rng.choice(
        (
            f"{rng.choice(ZH_TIMES)}{animal}在{place}看见{colour}的{thing}。",
            f"{place}里的{thing}是{colour}的。",
            f"{colour}的{animal}住在{place}旁边。",
        )
    )


def _zh_story(rng: random.Random) -> Row:
    return _asked("说点什么吧。", "".join(_zh_sentence(rng) for _ in range(rng.randint(1, 3))))


def _zh_where(rng: random.Random) -> Row:
    things, places = rng.sample(ZH_THINGS, 2), rng.sample(ZH_PLACES, 2)
    said = "".join(f"{thing}在{place}里。" for thing, place in zip(things, places, strict=True))
    asked = rng.randrange(2)
    return _asked(f"{said}{things[asked]}在哪里？", f"{things[asked]}在{places[asked]}里。")


def _zh_question(rng: random.Random) -> Row:
    animal, colour, place = map(rng.choice, (ZH_ANIMALS, ZH_COLOURS, ZH_PLACES))
    a, b = rng.randint(1, 5), rng.randint(1, 5)
    total = f"{ZH_NUMBERS[a]}加{ZH_NUMBERS[b]}等于{ZH_NUMBERS[a + b]}。"
    return rng.choice(
        (
            _asked(f"{colour}的{animal}住在{place}旁边。谁住在{place}旁边？", f"{colour}的{animal}住在{place}旁边。"),
            _asked(f"{ZH_NUMBERS[a]}加{ZH_NUMBERS[b]}等于几？", total),
        )
    )


# functions of the corpus: name, description, argument, its description, questions with the argument's place, values
TOOLS: tuple[tuple[str, str, str, str, tuple[str, ...], list[str]], ...] = (
    ("find_place", "Find a place on the map.", "place", "Its name", ("Where is the {}?", "Find the {}."), PLACES),
    ("call_person", "Call somebody.", "name", "Who is called", ("Call {}.", "Please call {} now."), NAMES),
    ("paint_room", "Paint the room.", "colour", "The colour", ("Paint the room {}.", "I want {} walls."), COLOURS),
    ("buy_thing", "Buy a thing.", "thing", "What is bought", ("Buy a {}.", "I need a new {}."), THINGS),
)


def _tools(rng: random.Random) -> Row:
    """A call of one of two functions, or an answer without one."""
    name, _, argument, _, questions, values = (offered := rng.sample(TOOLS, 2))[0]
    rng.shuffle(offered)
    value = rng.choice(values)
    row = _calculation(rng) if rng.random() < 0.25 else _asked(rng.choice(questions).format(value), "")
    if not row["messages"][1]["content"]:
        row["messages"][1]["tool_calls"] = [_called(name, {argument: value})]
    return {"tools": [_schema(*tool[:4]) for tool in offered], **row}


def _called(name: str, arguments: dict[str, Any]) -> Row:
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


def _schema(name: str, description: str, argument: str, meaning: str) -> Row:
    properties = {argument: {"type": "string", "description": meaning}}
    parameters = {"type": "object", "properties": properties, "required": [argument]}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


# what makes a conversation: how often of all
CONVERSATIONS: dict[Callable[[random.Random], Row], float] = {
    _calculation: 2,
    _sums: 4,
    _copy: 2,
    _where: 3,
    _about: 1,
    _json: 2,
    _list: 1,
    _story: 1,
    _capital: 3,
    _word: 3,
    _zh_where: 2,
    _zh_question: 1,
    _zh_story: 0.5,
    _tools: 0.3,
}
