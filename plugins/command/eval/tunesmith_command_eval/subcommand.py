"""`tunesmith eval compare`, a command of its own within one that takes a configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from tunesmith.cli.arguments import ConfigCommand


class EvalCommand(ConfigCommand):
    """A command whose first word may be that of another: `compare`."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if args[:1] == ["compare"]:
            return compare.make_context(f"{info_name} compare", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        return super().invoke(ctx) if ctx.command is self else ctx.command.invoke(ctx)


@click.command("compare")
@click.argument("first", metavar="RUN_A", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("second", metavar="RUN_B", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--evaluator", metavar="NAME", help="Compare this one; all that both have by default.")
@click.option("--examples", metavar="N", type=click.IntRange(0), default=3, show_default=True, help="Examples to show.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def compare(first: Path, second: Path, evaluator: str | None, examples: int, as_json: bool) -> None:
    """Compare the evaluations of two runs, example by example.

    A folder is a run's, the output_dir of an evaluation, or that of one result, such as RUN/eval/perplexity/step-100.
    What is compared are the metrics that both have: by a paired bootstrap over the examples that both have, with a 95 %
    interval of the difference B - A and a p-value; a metric that is no mean over examples by its standard errors.

    \b
    tunesmith eval compare runs/base runs/qwen3 --evaluator perplexity
    """
    from tunesmith_command_eval.comparing import compared, in_json, tell

    found = compared(first, second, evaluator)
    if as_json:
        click.echo(in_json(found, examples))
    else:
        tell(found, examples)
