"""Commands that are told to end, or that a full disk stops: what they began is tidied away, and it is said."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from tunesmith.cli.ending import Terminated, disks_in_words, ended_in_order, heard_in_imports
from tunesmith.errors import ConfigError, TunesmithError
from tunesmith.files import replacing


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_what_was_begun(number, tmp_path):
    former = signal.getsignal(number)
    with pytest.raises(Terminated) as stop, ended_in_order(), replacing(tmp_path / "model") as draft:
        draft.mkdir()
        (draft / "weights").touch()
        os.kill(os.getpid(), number)
    assert stop.value.number == number and not list(tmp_path.iterdir())
    assert signal.getsignal(number) == former


def test_what_is_ignored_stays_ignored():
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ended_in_order():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, former)


def test_a_forked_process_ends_as_it_would():
    with ended_in_order():
        child = os.fork()
        if child == 0:
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            finally:
                os._exit(7)
        _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGTERM


def test_outside_the_main_thread_nothing_is_changed():
    found = []

    def work():
        with ended_in_order(), heard_in_imports():
            found.extend([signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device", "/somewhere/a.txt"),
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
        RuntimeError("PytorchStreamWriter failed writing file data/3: file write failed"),
    ],
)
def test_a_full_disk_is_told_with_what_is_free(error):
    expected = r"cannot be written: .*iB are free in .*\)\.\nfree some"
    with pytest.raises(TunesmithError, match=expected) as told, disks_in_words():
        raise error
    assert told.value.__cause__ is error


def test_a_disk_that_may_only_be_read_is_told_without_room():
    expected = r"cannot be written: Read-only file system\.\nwrite elsewhere$"
    with pytest.raises(TunesmithError, match=expected), disks_in_words():
        raise OSError(errno.EROFS, "Read-only file system")


@pytest.mark.parametrize(
    "error", [FileNotFoundError(2, "No such file", "a"), ValueError("os error 2"), ConfigError("no")]
)
def test_other_errors_stay_what_they_are(error):
    with pytest.raises(type(error)) as caught, disks_in_words():
        raise error
    assert caught.value is error


def test_a_ctrl_c_in_a_finalizer_comes_once_more():
    class Pressed:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(10)

    former, ended = sys.unraisablehook, []
    with pytest.raises(KeyboardInterrupt), heard_in_imports():
        Pressed()
        ended.append("the finalizer")
        time.sleep(10)
    assert ended and sys.unraisablehook is former


def test_another_error_of_a_finalizer_is_told_as_ever(monkeypatch):
    lost = []
    monkeypatch.setattr(sys, "unraisablehook", lost.append)

    class Broken:
        def __del__(self):
            raise ValueError("broken")

    with heard_in_imports():
        Broken()
    assert [type(each.exc_value) for each in lost] == [ValueError]


@pytest.mark.parametrize("cause", [True, False])
def test_an_error_that_comes_of_a_ctrl_c_is_one(cause):
    """As a library makes it that catches everything."""
    with pytest.raises(KeyboardInterrupt), heard_in_imports():
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(10)
        except BaseException as error:
            if cause:
                raise TunesmithError("in words of its own") from error
            raise TunesmithError("in words of its own")  # noqa: B904


@pytest.fixture
def swallows(tmp_path, monkeypatch):
    """Writes modules of which the first is interrupted while it is imported, catches that, and goes on as told."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(rest, times=2):
        press = "    os.kill(os.getpid(), signal.SIGINT)\n    for _ in range(9_999): pass\n"
        pressed = f"import os, signal\ntry:\n{press * times}"
        (tmp_path / "pressed_once.py").write_text(f"{pressed}except BaseException:\n    pass\n{rest}\n")
        (tmp_path / "imported_next.py").write_text("import a_further_one\n")
        (tmp_path / "a_further_one.py").write_text("")

    yield write
    for name in ("pressed_once", "imported_next", "a_further_one"):
        sys.modules.pop(name, None)


def test_a_ctrl_c_lets_an_import_end(swallows):
    """Torch's own initialisation would end the process if it were stopped."""
    swallows("whole = True", times=1)
    with pytest.raises(KeyboardInterrupt), heard_in_imports():
        import pressed_once  # noqa: F401
    assert sys.modules["pressed_once"].whole
    with heard_in_imports():
        time.sleep(0.1)  # it is not heard once more


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("rest", ["import a_further_one", "raise RecursionError('half a numpy')"])
def test_a_ctrl_c_that_an_import_swallows_is_heard(swallows, rest, times):
    swallows(rest, times)
    finders = list(sys.meta_path)
    with pytest.raises(KeyboardInterrupt), heard_in_imports():
        import pressed_once  # noqa: F401  (made above)
    assert sys.meta_path == finders and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_what_is_tidied_away_after_a_ctrl_c_may_import(swallows):
    swallows("")
    with pytest.raises(KeyboardInterrupt), heard_in_imports():
        import pressed_once  # noqa: F401

        try:
            import imported_next  # noqa: F401
        finally:
            import a_further_one  # noqa: F401


def test_another_error_and_another_handler_stay_what_they_are():
    with pytest.raises(ZeroDivisionError), heard_in_imports():
        raise ZeroDivisionError
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with heard_in_imports():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, former)


def test_a_ctrl_c_in_code_that_was_text_ends_with_its_code():
    """As it falls into the making of a dataclass."""
    pressed = 'from tunesmith import cli\ncli._run = lambda words: exec("raise KeyboardInterrupt")\ncli.main()'
    ended = subprocess.run([sys.executable, "-c", pressed], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (130, "interrupted.\n")
