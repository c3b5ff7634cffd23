"""The user's values against the fields of a plugin, for its tests; from the configuration library."""

from tunesmith_library_configuration.validate import instance as instance
from tunesmith_library_configuration.validate import resolve as resolve
from tunesmith_library_configuration.validate import schema_of as schema_of
from tunesmith_library_configuration.validate import structured as structured
