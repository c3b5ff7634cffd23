"""`python scripts/preprocess_data.py FILE` or with flags: encode the data of a run beforehand, by Tunesmith."""

import sys

from tunesmith.cli.running import run

sys.exit(run(["data", "encode", *sys.argv[1:]]))
