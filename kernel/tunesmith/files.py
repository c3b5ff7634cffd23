"""Finished files are never half written, for plugins; from the configuration library."""

from tunesmith_library_configuration.files import filling as filling
from tunesmith_library_configuration.files import numbered as numbered
from tunesmith_library_configuration.files import replacing as replacing
