"""The measuring of a command: one model, or a trained one and the one before it."""

from __future__ import annotations

from collections.abc import Sequence

from tunesmith.cli.output import say
from tunesmith.cli.tables import print_table
from tunesmith_library_evaluating.comparing import compare
from tunesmith_library_evaluating.measuring import evaluate, evaluate_with_base

from tunesmith_command_eval.comparing import Compared, tell
from tunesmith_command_eval.results import COLUMNS, folder_of, model_of, rows_of, seen_in, written

_EXAMPLES = 0  # beside a comparison with the model before


def run(config: str | None, overrides: Sequence[str], before: bool) -> None:
    """Measure, tell and write."""
    config, overrides = model_of(config, overrides)
    folder = folder_of(config, overrides)
    with seen_in(folder):
        if before:
            pairs = evaluate_with_base(config, overrides)
            found = [Compared(after.name, compare(former, after)) for former, after in pairs]
            tell(found, _EXAMPLES, ("before", "after"))
            lines = written([after for _, after in pairs], folder, [former for former, _ in pairs])
        else:
            evaluations = evaluate(config, overrides)
            print_table(COLUMNS, rows_of(evaluations))
            lines = written(evaluations, folder)
    for line in lines:
        say(line, err=folder is None)
