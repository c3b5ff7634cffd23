"""What plugins ask of a model's weights: which ones a pattern names, which are trained, what an adapter leaves alone.

Importing this package imports no torch; `switching`, `training` and `layers` do.
"""

from tunesmith_library_weights.patterns import as_regex, matches, matches_any, parts_of, refuse_unknown

__all__ = ["as_regex", "matches", "matches_any", "parts_of", "refuse_unknown"]
