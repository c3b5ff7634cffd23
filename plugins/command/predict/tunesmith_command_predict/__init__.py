"""A command: `tunesmith predict RUN data.eval=[FILE]`, the answers to a whole data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tunesmith import plugin


@plugin
class Predict:
    """Answer every prompt of the evaluation data, and write the answers beside the expected ones."""

    def command(self) -> Any:
        """The click command; what it needs is imported when it is called."""
        import click
        from tunesmith.cli.arguments import ConfigCommand, configured
        from tunesmith.cli.output import report_to_stdout, say

        @click.command("predict", cls=ConfigCommand)
        @configured
        @click.option(
            "-o",
            "--output",
            type=click.Path(dir_okay=False, path_type=Path),
            help="File to write; predictions.jsonl in output_dir or the run's folder by default.",
        )
        @click.option("--overwrite", is_flag=True, help="Replace the file if it is there.")
        def command(config: str | None, overrides: list[str], output: Path | None, overwrite: bool) -> None:
            """Answer the prompts of a data set.

            CONFIG is a run's folder, or a YAML file that names a model. The data sets are those of data.eval, in any
            format that can be trained on. Each line of the file has `dataset`, `prompt`, `answer` (the expected one, or
            null) and `prediction`. An interrupted command goes on where it was when it is called again.

            \b
            tunesmith predict runs/qwen3 data.eval=[test.json] engine.temperature=0
            """
            from tunesmith_command_predict.predicting import predict

            report_to_stdout()
            written = predict(config, overrides, output=output, overwrite=overwrite)
            say(f"done: {written}")

        return command
