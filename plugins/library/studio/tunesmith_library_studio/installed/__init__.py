"""Plugins: those that are installed, what each is, and those that can be installed."""

from tunesmith_library_studio.installed.listing import Installed as Installed
