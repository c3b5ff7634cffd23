"""Who has entered the password: sessions, kept in memory alone, and how often one may try."""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Callable

from tunesmith_library_serving.guarding import Secret

LIFETIME = 7 * 24 * 3600  # seconds that a session lasts without a request
_SESSIONS = 1000  # the oldest go first
_WINDOW = 60.0  # seconds in which wrong passwords are counted
_OF_ONE, _OF_ALL = 10, 100  # wrong passwords in that time: of one address, of all together


class Access:
    """The password, and those who have entered it.

    Args:
        password: None where everybody may ask.
        clock: seconds.
    """

    def __init__(self, password: str | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._secret = None if password is None else Secret(password)
        self._clock = clock
        self._sessions: dict[str, float] = {}  # token → when it was used last, in that order
        self._wrong: deque[tuple[float, str]] = deque(maxlen=_OF_ALL)

    @property
    def needed(self) -> bool:
        """Whether there is a password."""
        return self._secret is not None

    def is_in(self, token: str | None) -> bool:
        """Whether a token is that of a session; it goes on then."""
        used = self._sessions.pop(token, None) if token else None
        if token is None or used is None or self._clock() - used > LIFETIME:
            return False
        self._sessions[token] = self._clock()
        return True

    def enter(self) -> str:
        """Begin a session; returns its token."""
        token = secrets.token_urlsafe(32)
        self._sessions[token] = self._clock()
        while len(self._sessions) > _SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        return token

    def leave(self, token: str | None) -> None:
        """End a session."""
        self._sessions.pop(token or "", None)

    def is_right(self, password: str, address: str) -> bool:
        """Whether this is the password; a wrong one counts as a try of the address."""
        right = self._secret is not None and self._secret.is_(password)
        if not right:
            self._wrong.append((self._clock(), address))
        return right

    def wait(self, address: str) -> float:
        """Seconds until an address may try again, 0 for now. Who has a session does not wait."""
        begin = self._clock() - _WINDOW
        while self._wrong and self._wrong[0][0] < begin:
            self._wrong.popleft()
        own = [when for when, who in self._wrong if who == address]
        if len(self._wrong) < _OF_ALL and len(own) < _OF_ONE:
            return 0.0
        return (own[-_OF_ONE] if len(own) >= _OF_ONE else self._wrong[0][0]) - begin
