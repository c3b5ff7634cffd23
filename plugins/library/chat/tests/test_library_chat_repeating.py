"""What is put together from the pieces of former renderings is what the template would have written."""

from __future__ import annotations

import datetime
import itertools
from typing import Any

import pytest
from jinja2 import TemplateError
from tunesmith_library_chat import ChatTemplate, repeating, sources

TEXTS = (
    "Hello",
    "",
    " ",
    "\n x\n",
    "Ünï",
    "</think>b",
    "<think>\na\n</think>c",
    "data:x",
    "a b c",
    "{0}",
    "<&>",
    "\ufdd0",
)
WRITES = {  # expressions over `c`, the content of a message: whether others can be written by one's pieces
    "c": True,
    "c | trim ~ '|' ~ c.strip()": True,
    "'A' + c + 'B'": True,
    "c.split('</think>')[-1].lstrip('\\n')": True,
    "c.partition('</think>')[2] or 'none'": True,
    "('yes' if '</think>' in c else 'no') ~ c": True,
    "('yes' if c in ['Hello', ' '] else 'no') ~ c": True,
    "('yes' if c is string and c is iterable and c is sequence else 'no') ~ c": True,
    "c[0] is defined": True,
    "c[:3] ~ c[::-1]": True,
    "c.replace('a', '<a>') | upper": True,
    "c | replace(' ', '_') | capitalize": True,
    "c.startswith('data:') ~ c.find('b')": True,
    "c | length": True,
    "c == 'Hello'": True,
    "[c, 'x'] | join('-')": True,
    "[message] | map(attribute='content') | join": True,
    "dict(message, content=c ~ '!').content": True,
    "c if c | length > 3 else 'short'": True,
    "c | default('none', true)": True,
    "(c ~ '') | trim": True,
    "(c ~ 'x') | trim": False,
    "c | title": False,
    "c | tojson": False,
    "c | e": False,
    "message": False,
    "[c]": False,
    "[c] | string": False,
    "'%s' % c": False,
    "'{}'.format(c)": False,
    "c.format('z')": False,
    "c.format_map({'0': 'z'})": False,
    "'-'.join([c])": False,
    "{'Hello': 'greets'}[c]": False,
    "{'Hello': 'greets'}.get(c, 'says')": False,
    "c in 'Hello World'": False,
    "c | list | length": False,
    "c is sameas 'Hello'": False,
    "c < 'M'": False,
    "c.encode()": False,
    "c.isascii()": False,
    "c.__len__": True,
    "c | length + (['', 'a'] | random | length) * 0": False,
    "c ~ generation_marks.open": False,
    "('' in c in 'Hello') ~ c": False,
}


def talk(*texts: str) -> list[dict[str, Any]]:
    roles = itertools.cycle(("user", "assistant"))
    return [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]


def written(source: str, texts: tuple[str, ...], **variables: Any) -> tuple[Any, bool]:
    """What comes of a conversation, or the error, and whether it was put together from pieces."""
    known = repeating._renderings(source)
    turns = talk(*texts)
    place = repeating._place(turns, variables, True)
    fast = known is not None and place is not None and known.write(*place) is not None
    return outcome(repeating.render, source, turns, variables, marks=True), fast


def outcome(function: Any, *arguments: Any, **named: Any) -> Any:
    try:
        return function(*arguments, **named)
    except (TemplateError, TypeError, ValueError, LookupError, AttributeError) as error:
        return type(error)


@pytest.mark.parametrize("expression", WRITES)
def test_every_text_is_written_as_the_template_writes_it(expression: str) -> None:
    source = (
        "{% for message in messages %}{% set c = message['content'] %}[{{ message.role }}]"
        "{% generation %}{{ " + expression + " }}{% endgeneration %}{% endfor %}"
    )
    fast = []
    for texts in itertools.product(TEXTS, TEXTS[:2]):
        found, repeated = written(source, texts)
        assert found == outcome(repeating._rendered, source, talk(*texts), {}, True), texts
        fast.append(repeated)
    assert any(fast) == WRITES[expression]


STATEMENTS = {
    "{% autoescape true %}{{ c }}{{ c ~ '<' }}{% endautoescape %}": False,
    "{% set t %}<{{ c }}>{% endset %}{{ t }}{{ t }}": True,
    "{% filter upper %}{{ c }}{% endfilter %}": True,
    "{% macro say(x, y='') %}{{ x | trim }}{{ y }}{% endmacro %}{{ say(c, y=c) }}": True,
    "{% for x in c %}{{ x }}.{% endfor %}": False,
    "{% for x in c.split(' ') %}{{ x }}.{{ loop.index }}{% endfor %}": True,
    "{% set n = namespace(t='') %}{% for x in [1, 2] %}{% set n.t = n.t ~ c %}{% endfor %}{{ n.t }}": True,
    "{% generation %}{% generation %}{{ c }}{% endgeneration %}x{% endgeneration %}": True,
    "{% set said %}{% generation %}{{ c }}{% endgeneration %}{% endset %}{{ said ~ said }}": True,
    "{% if c == 'Hello' %}{{ raise_exception('no greetings') }}{% endif %}{{ c }}": True,
    "{% if message == {'role': 'user', 'content': 'Hello'} %}greets{% endif %}{{ c }}": True,
    "{% if messages[0].content == messages[-1].content %}twice{% endif %}{{ c }}": False,
    "{% for k, v in message.items() %}{{ k }}={{ v }};{% endfor %}": True,
    "{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | list | last }}": True,
}


@pytest.mark.parametrize("statement", STATEMENTS)
def test_statements_keep_texts_traced_or_stop(statement: str) -> None:
    source = "{% for message in messages %}{% set c = message.content %}" + statement + "{% endfor %}"
    fast = []
    for texts in itertools.product(TEXTS, TEXTS[:2]):
        found, repeated = written(source, texts)
        assert found == outcome(repeating._rendered, source, talk(*texts), {}, True), texts
        fast.append(repeated)
    assert any(fast) == STATEMENTS[statement]


def test_a_shape_is_all_that_a_template_sees_beside_texts() -> None:
    source = "{% for m in messages %}{% for k in m %}{{ k }}{{ m[k] }};{% endfor %}{% endfor %}{{ x }}{{ y }}"
    turns = (
        {"role": "user", "content": "a"},
        {"content": "a", "role": "user"},
        {"role": "user", "content": "a", "name": "b"},
        {"role": "user", "content": "a", "reasoning": "t", "thinking": "t"},
        {"role": "user", "content": "a", "reasoning": "", "thinking": None},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image"}]},
        {"role": "user", "content": ""},
    )
    values = (1, True, 1.0, "1", None, [1], (1,), {"a": 1})
    for turn, x, y in itertools.chain(*(itertools.product(turns, values, values[:2]) for _ in range(3))):
        given = {"x": x, "y": y}
        assert repeating.render(source, [turn], given, marks=False) == repeating._rendered(source, [turn], given, False)


def test_what_has_no_shape_is_rendered() -> None:
    class Odd:
        def __str__(self) -> str:
            return "odd"

    assert repeating._place(talk("a"), {"x": Odd()}, False) is None
    assert repeating._place([{"role": "user", "content": "a", "x": Odd()}], {}, False) is None
    assert repeating.render("{{ x }}", talk("a"), {"x": Odd()}, marks=False) == ("odd", [])


@pytest.mark.parametrize(
    ("pattern", "fast"), [("%d %b %Y", True), ("%H:%M", False), ("%-d.%m.%y", True), ("%s", False)]
)
def test_a_date_holds_for_its_day(pattern: str, fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    source = "{{ strftime_now('" + pattern + "') }} {{ messages[0].content }}"
    for hour in range(0, 60, 6):
        moment = datetime.datetime(2026, 1, 1) + datetime.timedelta(hours=hour)
        monkeypatch.setattr(sources, "now", lambda moment=moment: moment)
        (text, _), _ = written(source, ("x",))
        assert text == f"{moment.strftime(pattern)} x"
    assert written(source, ("x",))[1] == fast


def test_no_more_kinds_and_shapes_are_kept_than_help(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeating, "_SHAPES", 3)
    source = "{{ messages[0].content | length }}{{ messages | length }}"
    for number in range(40):
        assert repeating.render(source, talk("x" * number), {}, marks=False) == (f"{number}1", [])
        assert repeating.render(source, talk(*["x"] * number, "x"), {}, marks=False)[0] == f"1{number + 1}"
    known = repeating._renderings(source)
    assert known is not None and len(known.shapes) <= 3
    assert all(len(kinds or ()) <= 8 for kinds in known.shapes.values())


def test_conversations_of_one_shape_are_rendered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those whose template has no marks, whose answers are found by rendering what is before them."""
    jinja = (
        "{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}</s>{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    template = ChatTemplate("plain", jinja, ("</s>",))
    rendered = 0
    real = repeating._rendered

    def counted(*arguments: Any) -> Any:
        nonlocal rendered
        rendered += 1
        return real(*arguments)

    monkeypatch.setattr(repeating, "_rendered", counted)
    for number in range(20):
        found = template.render(talk(f"ask {number} ", f" say {number}"), training=True)
        assert found.text == f"<user>ask {number}</s><assistant>say {number}</s>"
        assert [found.text[span.start : span.end] for span in found.spans] == [f"say {number}</s>"]
    assert rendered == 4  # twice the whole, and twice what is before the answer
