"""`python src/cli_demo.py --model_name_or_path M --template T …`: a conversation in the terminal, by Tunesmith."""

import sys

from tunesmith_dialect_llamafactory.commands import main

main(["chat", *sys.argv[1:]])
