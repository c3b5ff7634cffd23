"""Templates that never end, or that multiply."""

import threading
import time

import pytest
from tunesmith import DataError, TunesmithError
from tunesmith_library_chat import ChatTemplate
from tunesmith_library_chat.sources import compiled, fill_in

NESTED = "{% for i in range(99999) %}" * 3 + "{% endfor %}" * 3
DEEP = "[" * 40 + "]" * 40
DOUBLED = "{% set n = namespace(x=START) %}{% for i in range(64) %}{% set n.x = STEP %}{% endfor %}{{ n.x }}"


def doubled(start: str, step: str) -> str:
    return DOUBLED.replace("START", start).replace("STEP", step)


TIMELESS = {
    "nested loops": NESTED,
    "a recursive loop": f"{{% for a in {DEEP} recursive %}}{{{{ loop(a) }}}}{{{{ loop(a) }}}}{{% endfor %}}",
    "macros": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "generation": "{% generation %}" + NESTED + "{% endgeneration %}",
}
MULTIPLYING = {
    "text by number": "{{ 'ab' * 10 ** 10 }}",
    "list by number": "{{ [1] * 10 ** 9 }}",
    "a power": "{{ 9 ** (9 ** 9) }}",
    "squares": doubled("10", "n.x * n.x"),
    "text and text": doubled("'ab'", "n.x + n.x"),
    "text beside text": doubled("'ab'", "n.x ~ n.x"),
    "list and list": doubled("[1]", "n.x + n.x"),
    "lists in lists": doubled("[1]", "[n.x, n.x]"),
    "mappings": doubled("{}", "{'a': n.x, 'b': n.x}"),
    "dict": doubled("{}", "dict(a=n.x, b=n.x)"),
    "joined": doubled("'ab'", "[n.x, n.x] | join(n.x)"),
    "joined by a text": doubled("'ab'", "n.x.join([n.x, n.x])"),
    "replaced": doubled("'ab'", "n.x.replace('a', n.x)"),
    "replaced by a filter": doubled("'ab'", "n.x | replace('a', n.x)"),
    "wide": "{{ 'a'.ljust(10 ** 10) }}",
    "centred": "{{ 'a' | center(10 ** 10) }}",
    "indented": "{{ 'a\nb' | indent(10 ** 9) }}",
    "tabs": "{{ '\t'.expandtabs(10 ** 9) }}",
    "a format": "{{ '%1000000000d' % 1 }}",
    "a filter's format": "{{ '%1000000000d' | format(1) }}",
    "a method's format": "{{ '{:1000000000}'.format(1) }}",
    "JSON": "{{ [1] | tojson(indent=1000000000) }}",
    "slices": "{{ [1] | batch(10 ** 9, 1) | list }}",
    "what is written": "{% set x = 'ab' * 100000 %}{% for i in range(99999) %}{{ x }}{% endfor %}",
}


def render(jinja: str) -> str:
    return ChatTemplate("theirs", jinja, ()).render([{"role": "user", "content": "hello"}]).text


@pytest.mark.parametrize("jinja", TIMELESS.values(), ids=TIMELESS)
def test_time_ends(jinja: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunesmith_library_chat.sandbox.SECONDS", 0.1)
    began = time.thread_time()
    with pytest.raises(TunesmithError, match=r"chat template was stopped: it runs for more than 0\.1 seconds"):
        render(jinja)
    assert time.thread_time() - began < 2


def test_time_ends_beside_the_main_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunesmith_library_chat.sandbox.SECONDS", 0.1)
    raised: list[type] = []

    def work() -> None:
        try:
            render(TIMELESS["nested loops"])
        except TunesmithError as error:
            raised.append(type(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(5)
    assert raised == [TunesmithError]


@pytest.mark.parametrize("jinja", MULTIPLYING.values(), ids=MULTIPLYING)
def test_sizes_end(jinja: str) -> None:
    began = time.thread_time()
    with pytest.raises(TunesmithError, match=r"stopped: it|cannot render|too large"):
        render(jinja)
    assert time.thread_time() - began < 2


def test_a_namespace_in_itself_is_written_at_once() -> None:
    step = "{% set m = namespace() %}{% set m.a = n.x %}{% set m.b = n.x %}{% set n.x = m %}"
    jinja = "{% set n = namespace(x=1) %}{% for i in range(64) %}" + step + "{% endfor %}{{ n.x }}"
    assert render(jinja) == "<Namespace>"


@pytest.mark.parametrize(
    "jinja", ["{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "{% if 1 %}" * 300 + "{% endif %}" * 300]
)
def test_what_is_too_deep_to_be_compiled_is_an_error(jinja: str) -> None:
    with pytest.raises(DataError, match="too deep"):
        compiled(jinja)


@pytest.mark.parametrize(
    ("jinja", "text"),
    [
        ("{% for m in x %}{{ loop.index }}/{{ loop.length }}{{ ',' if not loop.last }}{% endfor %}", "1/2,2/2"),
        ("{% macro f(n) %}{{ n }}{% endmacro %}{{ f(3) ~ 'a' * 3 ~ 2 ** 10 }}", "3aaa1024"),
        (
            "{% set n = namespace(l=[]) %}{% for m in x %}{% set n.l = n.l + [m] %}{% endfor %}{{ n.l | join('-') }}",
            "1-2",
        ),
        ("{% for k, v in {'a': (1, 2)}.items() %}{{ k }}{{ v | tojson }}{% endfor %}", "a[1, 2]"),
        ("{{ '%s-%03d' % ('a', 7) }}{{ '{}!'.format('b') }}{{ 'x' | center(3) }}", "a-007b! x "),
        ("{% for a in [[1], [2]] recursive %}{{ a if a is number else loop(a) }}{% endfor %}", "12"),
        ("{% set a, b = 1, 2 %}{{ (a, b) | sum }}{{ 10 ** 12 | int }}", "31000000000000"),
    ],
)
def test_what_templates_do_is_as_it_was(jinja: str, text: str) -> None:
    assert fill_in(jinja, {"x": ["1", "2"]}) == text
