"""Keys of a configuration and where their values were written, for plugins; from the configuration library."""

from tunesmith_library_configuration.keys import Key as Key
from tunesmith_library_configuration.keys import Origin as Origin
from tunesmith_library_configuration.keys import Origins as Origins
from tunesmith_library_configuration.keys import nearest_origin as nearest_origin
