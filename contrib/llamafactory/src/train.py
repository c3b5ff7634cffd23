"""`python src/train.py --stage sft --do_train …`: what LLaMA-Factory's script of this name does, by Tunesmith."""

import sys

from tunesmith_dialect_llamafactory.commands import main

main(["train", *sys.argv[1:]])
