"""What programs keep for the next run: encoded data sets, unpacked archives, downloads; who uses them, what may go."""

from tunesmith_library_caching.encoded import ABOUT as ABOUT
from tunesmith_library_caching.encoded import DATA as DATA
from tunesmith_library_caching.encoded import About as About
from tunesmith_library_caching.encoded import damage_of_sizes as damage_of_sizes
from tunesmith_library_caching.encoded import data_files as data_files
from tunesmith_library_caching.encoded import differences as differences
from tunesmith_library_caching.encoded import mark_used as mark_used
from tunesmith_library_caching.encoded import opened as opened
from tunesmith_library_caching.encoded import read_about as read_about
from tunesmith_library_caching.encoded import write_about as write_about
from tunesmith_library_caching.encoded import write_manifest as write_manifest
from tunesmith_library_caching.holding import Hold as Hold
from tunesmith_library_caching.places import ARCHIVES as ARCHIVES
from tunesmith_library_caching.places import DATASETS as DATASETS
from tunesmith_library_caching.places import UNFINISHED as UNFINISHED
from tunesmith_library_caching.places import entries_of as entries_of
from tunesmith_library_caching.places import kept_in as kept_in
