"""What tests may do: everything that they could do in one process with the program, but for what is documented."""

import pytest
from tunesmith_reward_code.running import Limits, best_isolation, passes

VECTOR = """
class Vector:
    def __init__(self, x, y): self.x, self.y = x, y
    def __add__(self, other): return Vector(self.x + other.x, self.y + other.y)
    def __mul__(self, factor): return Vector(self.x * factor, self.y * factor)
    __rmul__ = __mul__
    def __eq__(self, other): return (self.x, self.y) == (other.x, other.y)
    def __hash__(self): return hash((self.x, self.y))
    def __repr__(self): return f'Vector({self.x}, {self.y})'
    def __lt__(self, other): return self.x < other.x
"""
ERRORS = """
class Bad(ValueError): pass
class Worse(Bad):
    def __init__(self, code): super().__init__('worse'); self.code = code
def f(x):
    if x < 0: raise Bad('negative')
    if x == 0: raise KeyError('zero')
    raise Worse(7)
"""
KINDS = """
import datetime
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from decimal import Decimal
from fractions import Fraction
Point = namedtuple('Point', 'x y')
def values():
    lists = defaultdict(list); lists[1].append(2)
    return [Point(1, 2), Counter('aab'), lists, deque([1, 2], 5), {1: 2}.keys(), OrderedDict(a=1)]
def numbers(): return Decimal('1.5'), Fraction(1, 2), 2 ** 100, -1.5, 1j, datetime.datetime(2020, 1, 2, 3)
def texts(): return 'é', '\\ud800', b'\\xff', None, True, ...
"""
LISTS = """
def reverse(node):
    last = None
    while node: node.next, last, node = last, node, node.next
    return last
"""
HELD = {
    "arguments changed in place": (
        "def f(x): x.sort(); x[0].append(9)",
        "x = [[3], [1]]\nsame = x[1]\nf(x)\nassert x == [[1, 9], [3]] and x[0] is same",
    ),
    "the same object": ("def f(x): return x", "x = [1]\nassert f(x) is x"),
    "functions of the test": (
        "def f(g, values): return [g(value) for value in values]",
        "assert f(lambda x: x + 1, [1, 2]) == [2, 3] and f(str.upper, 'ab') == ['A', 'B'] and f(len, ['ab']) == [2]",
    ),
    "objects of the test": (
        LISTS,
        "class Node:\n    def __init__(self, value, next=None): self.value, self.next = value, next\n"
        "a = Node(1, Node(2, Node(3)))\nr = reverse(a)\n"
        "assert [r.value, r.next.value, r.next.next.value, r.next.next.next] == [3, 2, 1, None] and r.next.next is a",
    ),
    "classes": (
        VECTOR,
        "v = Vector(1, 2)\nassert v + Vector(3, 4) == Vector(4, 6) and repr(v) == 'Vector(1, 2)' == f'{v}'\n"
        "assert (v * 3).x == 3 and (3 * v).y == 6 and v != Vector(1, 3) and v in [Vector(0, 0), Vector(1, 2)]\n"
        "assert isinstance(v, Vector) and type(v) is Vector and {v: 1}[Vector(1, 2)] == 1\n"
        "assert sorted([Vector(2, 0), v])[0] is v and sum([v, v], Vector(0, 0)).y == 4\nv.x = 7\nassert v.x == 7",
    ),
    "errors": (
        ERRORS,
        "import pytest\nwith pytest.raises(Bad, match='negative'): f(-1)\nwith pytest.raises(KeyError): f(0)\n"
        "try: f(1)\nexcept Bad as e: assert e.code == 7 and isinstance(e, Worse) and str(e) == 'worse'\n"
        "else: assert False",
    ),
    "kinds of values": (
        KINDS,
        "import datetime, decimal, fractions\np, c, d, q, k, o = values()\n"
        "assert p == (1, 2) and p.x == 1 and c == {'a': 2, 'b': 1} and c['z'] == 0 and d == {1: [2]} and d[5] == []\n"
        "assert list(q) == [1, 2] and q.maxlen == 5 and k == {1} and o == {'a': 1}\n"
        "assert numbers() == (decimal.Decimal('1.5'), fractions.Fraction(1, 2), 2 ** 100, -1.5, 1j, "
        "datetime.datetime(2020, 1, 2, 3))\nassert texts() == ('é', '\\ud800', b'\\xff', None, True, ...)",
    ),
    "arrays": (
        "import numpy as np\ndef f(x): return np.array(x) * 2\ndef g(x): return np.sum(x)",
        "assert (f([1, 2]) == [2, 4]).all() and np.allclose(f([0.5]), 1) and g([1, 2]) == 3",
    ),
    "generators": (
        "def f():\n    n = 0\n    while True:\n        yield n\n        n += 1",
        "import itertools\ng = f()\nassert next(g) == 0 and list(itertools.islice(g, 3)) == [1, 2, 3]",
    ),
    "coroutines": ("async def f(x): return x + 1", "import asyncio\nassert asyncio.run(f(1)) == 2"),
    "what is printed": (
        "def f(): print('hi', 3)",
        "import contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()) as out: f()\n"
        "assert out.getvalue() == 'hi 3\\n'",
    ),
    "what is typed": (
        "import sys\ndef f(): return int(input()) + sum(map(int, sys.stdin.read().split()))",
        "import io, sys\nsys.stdin = io.StringIO('3\\n4 5\\n')\nassert f() == 12",
    ),
    "a name of Python's": ("def pow(x, n): return x ** n + 1", "assert pow(2, 3) == 9"),
    "HumanEval's form": ("def f(x): return x + 1", "def check(candidate):\n    assert candidate(1) == 2\ncheck(f)"),
    "variables": ("n = 0\ndef f():\n    global n\n    n += 1", "f(); f()\nassert n == 2"),
    "enumerations": (
        "import enum\nclass C(enum.Enum):\n    RED = 1\n    BLUE = 2\ndef f(): return C.RED",
        "assert f() is C.RED and C(2) is C.BLUE and C['RED'].value == 1 and [c.name for c in C] == ['RED', 'BLUE']",
    ),
    "contexts": (
        "class R:\n    def __enter__(self): self.on = True; return self\n"
        "    def __exit__(self, *error): self.on = False; return error[0] is ValueError",
        "with R() as r:\n    assert r.on\n    raise ValueError\nassert r.on is False",
    ),
    "decorators": (
        "import functools\ndef count(g):\n    @functools.wraps(g)\n    def wrapped(*a, **k):\n"
        "        wrapped.calls += 1\n        return g(*a, **k)\n    wrapped.calls = 0\n    return wrapped",
        "@count\ndef g(x, y=1): return x + y\n"
        "assert g(1) == 2 and g(1, y=5) == 6 and g.calls == 2 and g.__name__ == 'g'",
    ),
    "copies": (
        "from dataclasses import dataclass\n@dataclass(order=True)\nclass P:\n    x: int",
        "import copy\np = P(1)\nq = copy.deepcopy(p)\nq.x = 5\n"
        "assert p.x == 1 and q.x == 5 and P(1) < P(2) and p == P(1)",
    ),
    "files": ("def f():\n    with open('a', 'w') as file: file.write('x')", "f()\nassert open('a').read() == 'x'"),
}


QUICK = ("arguments changed in place", "functions of the test", "classes", "errors", "kinds of values")


@pytest.mark.parametrize("case", [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in HELD])
def test_it_holds_for_the_program_alone(case):
    program, test = HELD[case]
    nothing = (
        "import numpy as np\nn = 0\ndef f(*_): return None\nreverse = values = count = Vector = C = R = P = Bad = f"
    )
    assert passes(program, test, Limits(15.0, 1024), best_isolation())
    assert not passes(nothing, test, Limits(15.0, 1024), best_isolation())
