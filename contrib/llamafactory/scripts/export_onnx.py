"""`python scripts/export_onnx.py --model_name_or_path M --export_dir OUT`: export as ONNX, by Tunesmith."""

import sys

from tunesmith_dialect_llamafactory.commands import main

main(["export", "exporter=onnx", *sys.argv[1:]])
