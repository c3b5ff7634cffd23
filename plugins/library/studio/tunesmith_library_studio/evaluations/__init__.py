"""Evaluations: the numbers of models, and the records behind them."""

from tunesmith_library_studio.evaluations.evaluations import Evaluations as Evaluations
from tunesmith_library_studio.evaluations.requests import Request as Request
from tunesmith_library_studio.evaluations.results import Filter as Filter
