"""What engines share, whatever computes their tokens."""

from tunesmith_library_engine.answers import StreamedAnswer, joined
from tunesmith_library_engine.checks import (
    check_adapter,
    check_alternatives,
    check_request,
    check_sampling,
    check_tokens,
    check_vocabulary,
)
from tunesmith_library_engine.ledger import Ledger
from tunesmith_library_engine.together import submit_all, submitted

__all__ = [
    "Ledger",
    "StreamedAnswer",
    "check_adapter",
    "check_alternatives",
    "check_request",
    "check_sampling",
    "check_tokens",
    "check_vocabulary",
    "joined",
    "submit_all",
    "submitted",
]
