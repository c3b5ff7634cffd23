"""Data sets of a workspace for a front end: browsed, changed and judged row by row, saved as versions, checked."""

from tunesmith_library_studio.data.sets import Data as Data
