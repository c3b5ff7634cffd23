"""What engines share, whatever computes their tokens."""

from tunesmith_library_engine.answers import StreamedAnswer, joined
from tunesmith_library_engine.checks import check_adapter, check_request

__all__ = ["StreamedAnswer", "check_adapter", "check_request", "joined"]
