"""Programs that want the reward without the work, and programs that want more than they are given."""

import contextlib
import os
import shutil
import socket
import sys
import time
from pathlib import Path

import pytest
from tunesmith_reward_code.running import Limits, best_isolation, passes

EVERYTHING = """
class Everything(Base):
    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = __contains__ = lambda self, other: True
    __ne__ = lambda self, other: False
    __sub__ = __rsub__ = lambda self, other: 0.0
    __abs__ = __float__ = lambda self: 0.0
    __len__ = __hash__ = lambda self: 3
def f(x):
    return Everything()
"""
OBJECT = EVERYTHING.replace("(Base)", "")
ATTACKS = {
    "the former password": "import __main__, os; os.write(__main__.answer, __main__.password); os._exit(0)",
    "the end": "import os; os._exit(0)",
    "the end when asked": "import os\ndef f(x): os._exit(0)",
    "SystemExit": "def f(x): raise SystemExit(0)",
    "assertions without effect": "import builtins; builtins.AssertionError = SystemExit\ndef f(x): return 3",
    "every descriptor": "import os\ndef f(x):\n for i in range(40):\n  try: os.write(i, b'passed')\n"
    "  except OSError: pass",
    "the judge's end": "import os, signal; os.kill(os.getppid(), signal.SIGINT)\ndef f(x): return 3",
    "frames": "import sys\ndef f(x):\n s = sys._getframe()\n while s:\n"
    "  if any('assert f' in str(v) for v in s.f_locals.values()): return 4\n  s = s.f_back",
    "memory": "import gc\ndef f(x):\n texts = [o for o in gc.get_objects() if type(o) is str]\n"
    " return 4 if any('assert ' + 'f' in text for text in texts) else 0",
    "ANY": "from unittest.mock import ANY\ndef f(x): return ANY",
    "a mock": "from unittest.mock import MagicMock\nf = MagicMock()\nf.return_value.__eq__ = lambda self, other: True",
    "a module": "import unittest.mock as f",
    "an endless list": "def f(x):\n x = []\n for _ in range(10 ** 5): x = [x]\n return x",
    "a long text": "def f(x): return 'a' * 10 ** 11",
    "not a number": "def f(x): return float('nan')",
    "text": "def f(x): return '4'",
    "truth": "def f(x): return True",
    "a derived number": EVERYTHING.replace("Base", "int"),
    "everything": OBJECT,
}
QUICK = ("the former password", "the end when asked", "every descriptor", "ANY", "a derived number", "everything")
COMPARISONS = [
    "4 == f(2)",
    "[f(2)] == [4]",
    "{'a': f(2)} == {'a': 4}",
    "not f(2) != 4",
    "f(2) < 5 and f(2) > 3",
    "abs(f(2) - 1.41) < 1e-6",
    "3 in f(2)",
    "f(2) in (3, 4)",
    "__import__('math').isclose(f(2), 1.41)",
    "isinstance(f(2), int)",
    "f(2) == math.sqrt(16)",
]


def passed(program: str, test: str, seconds: float = 10.0, isolation=None) -> bool:
    return passes(program, test, Limits(seconds, 512), isolation or best_isolation())


def cases(table: dict, quick: tuple) -> list:
    """Some always, all in the slow tests, since each starts two interpreters."""
    slow = pytest.mark.slow
    return [pytest.param(case, marks=[] if name in quick else slow, id=name) for name, case in table.items()]


@pytest.mark.parametrize("program", cases(ATTACKS, QUICK))
def test_no_reward_without_the_work(program):
    assert not passed(program, "assert f(2) == 4")


def test_nothing_is_compared_by_the_program():
    shadows = "def abs(x): return 0\ndef isinstance(x, y): return True\nclass math:\n    sqrt = f\n"
    tried = "\n".join(f"try:\n    assert not ({one}), {one!r}\nexcept TypeError: pass" for one in COMPARISONS)
    assert passed(OBJECT + shadows, tried), "one of the comparisons held, or the program could not be asked"


@pytest.fixture
def listening():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux isolates")
@pytest.mark.parametrize("isolation", ["namespaces", "bubblewrap", "landlock"])
def test_what_a_program_sees(isolation, listening, monkeypatch, tmp_path):
    there = isolation != "bubblewrap" or shutil.which("bwrap")
    if not there or not passed("x = 1", "assert x == 1", isolation=isolation):
        pytest.skip(f"this machine does not allow {isolation}")
    monkeypatch.setenv("MY_TOKEN", "hush")
    (tmp_path / "secret").write_text("hush")
    program = """
import os, socket
def connected(port):
    try: return socket.create_connection(('127.0.0.1', port), 1) and 'connected'
    except OSError: return ''
def sent():
    try: return socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))
    except OSError: return 0
def tried(do, path):
    try: return do(path) and path
    except OSError: return ''
def read(path): return open(path).read(1)
def write(path): return open(path, 'a').write('x')
def insides():
    others = [p for p in os.listdir('/proc') if p.isdigit() and int(p) not in (1, os.getpid())]
    return [p for p in others for name in ('environ', 'mem', 'maps') if tried(read, f'/proc/{p}/{name}')]
def own():
    write('mine')
    return tried(read, 'mine')
def environment(): return sorted(os.environ)
"""
    folder = str(tmp_path)
    test = f"""
assert connected({listening}) == ''
assert tried(read, {folder!r} + '/secret') == tried(read, '/etc/passwd') == tried(write, {folder!r} + '/new') == ''
assert tried(write, os.__file__) == tried(lambda path: os.chmod(path, 0) or 1, {folder!r}) == ''
assert insides() == [] and 'MY_TOKEN' not in environment() and own() == 'mine'
"""
    assert passed(program, "import os\n" + test, isolation=isolation)
    assert passed(program, "assert sent() == 0", isolation=isolation) or isolation != "landlock"


@pytest.mark.skipif(sys.platform != "linux", reason="orphans are adopted on Linux")
@pytest.mark.parametrize("isolation", ["process", None])
@pytest.mark.parametrize("ending", ["def f(x): return 4", "while True: pass"], ids=["in time", "too late"])
def test_no_process_outlives_its_program(isolation, ending):
    word = f"orphan-{os.getpid()}-{time.monotonic_ns()}"
    program = f"""
import os, subprocess, sys
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execv(sys.executable, [sys.executable, '-S', '-c', 'import time; time.sleep(60)', {word!r}])
    os._exit(0)
os.wait()
{ending}
"""
    began = time.monotonic()
    assert passed(program, "assert f(2) == 4", 3.0, isolation) == (ending != "while True: pass")
    assert time.monotonic() - began < 30
    while time.monotonic() - began < 30 and running(word):
        time.sleep(0.02)  # the kernel takes a moment
    assert not running(word)


def running(word: str) -> bool:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if word.encode() in path.read_bytes():
                return True
    return False


def test_temporary_folders_are_removed(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    program = "import os\nos.makedirs('a/b')\nopen('a/b/c', 'w').write('x')\nos.chmod('a', 0)\ndef f(x): return 4"
    assert passed(program, "assert f(2) == 4", isolation="process")
    assert list(tmp_path.iterdir()) == []
