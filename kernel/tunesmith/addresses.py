"""Addresses of models and data sets, for plugins; from the configuration library."""

from tunesmith_library_configuration.addresses import hub_of as hub_of
from tunesmith_library_configuration.addresses import is_path as is_path
