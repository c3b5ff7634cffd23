"""What engines share, whatever computes their tokens."""

from tunesmith_library_engine.answers import StreamedAnswer, joined
from tunesmith_library_engine.checks import check_adapter, check_request, check_sampling
from tunesmith_library_engine.ledger import Ledger

__all__ = ["Ledger", "StreamedAnswer", "check_adapter", "check_request", "check_sampling", "joined"]
