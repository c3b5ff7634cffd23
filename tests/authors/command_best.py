"""Which of several runs is the best, as a command: tunesmith best runs/*."""

import json
from pathlib import Path

from tunesmith import plugin


@plugin
class Best:
    """Rank runs by what was measured in them."""

    def command(self):
        import click

        @click.command("best")
        @click.argument("runs", nargs=-1, required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
        @click.option("--metric", default="eval_loss", show_default=True, help="What was measured, by name.")
        @click.option("--greatest", is_flag=True, help="The greatest value is the best, as of an accuracy.")
        def command(runs, metric, greatest):
            """Print the best value of a metric in each of RUNS with its step, the best run first."""
            found = []
            for run in runs:
                file = run / "metrics.jsonl"
                lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file.is_file() else []
                values = [(line[metric], line["step"]) for line in lines if isinstance(line.get(metric), int | float)]
                if not values:
                    raise click.ClickException(f"{run} has no {metric} in metrics.jsonl; choose another --metric")
                value, step = max(values) if greatest else min(values)
                found.append((value, step, run))
            for value, step, run in sorted(found, reverse=greatest):
                click.echo(f"{value:.4f}  step {step:,}  {run}")

        return command
