"""Exports: planned, started as jobs, and what was written, with the report of what it was compared with."""

from tunesmith_library_studio.exports.making import Exports as Exports
from tunesmith_library_studio.exports.wanted import Wanted as Wanted
