"""Runs: what there is, and what became of it."""

from tunesmith_library_studio.runs.runs import Asked as Asked
from tunesmith_library_studio.runs.runs import NamedByOthers as NamedByOthers
from tunesmith_library_studio.runs.runs import Runs as Runs
