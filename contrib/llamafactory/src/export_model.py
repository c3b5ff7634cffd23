"""`python src/export_model.py --model_name_or_path M --adapter_name_or_path A --export_dir OUT …`, by Tunesmith."""

import sys

from tunesmith_dialect_llamafactory.commands import main

main(["export", *sys.argv[1:]])
