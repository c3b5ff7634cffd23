"""What a number, or a text, beside a field may be: `rank: Annotated[int, at_least(1)] = 8`; from the library."""

from tunesmith_library_configuration.ranges import Range as Range
from tunesmith_library_configuration.ranges import above as above
from tunesmith_library_configuration.ranges import at_least as at_least
from tunesmith_library_configuration.ranges import below as below
from tunesmith_library_configuration.ranges import between as between
from tunesmith_library_configuration.texts import file_in_run as file_in_run
from tunesmith_library_configuration.texts import filled as filled
from tunesmith_library_configuration.texts import folder_in_run as folder_in_run
from tunesmith_library_configuration.texts import path_like as path_like
