"""`python -m tunesmith_dialect_llamafactory` is `llamafactory-cli`."""

from tunesmith_dialect_llamafactory.commands import main

main()
