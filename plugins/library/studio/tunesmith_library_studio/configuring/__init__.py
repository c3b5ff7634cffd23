"""Configurations as a front end works with them: forms of all options, drafts, and what a plan says of a draft.

Plugins are imported in processes of their own: other people's code neither slows the front end nor takes its memory.
"""

from tunesmith_library_studio.configuring.configurations import Configuring as Configuring
from tunesmith_library_studio.configuring.configurations import Given as Given
from tunesmith_library_studio.configuring.forms import Forms as Forms
