"""A command: `tunesmith eval RUN evaluator=[perplexity]`, numbers that say how good a model is."""

from __future__ import annotations

from typing import Any

from tunesmith import plugin


@plugin
class Eval:
    """Measure a model on evaluation sets, and write the numbers and a record of each example."""

    def command(self) -> Any:
        """The click command; what it needs is imported when it is called."""
        import click
        from tunesmith.cli.arguments import ConfigCommand, configured

        @click.command("eval", cls=ConfigCommand)
        @configured
        def command(config: str | None, overrides: list[str]) -> None:
            """Measure a model.

            CONFIG is a run's folder, an exported model's, or a YAML file that names a model. The data sets are those of
            data.eval; a run without any is measured on what it held out. The numbers go into evaluations.json and the
            records of the examples into evaluations/ in the run's folder, or in output_dir.

            \b
            tunesmith eval runs/qwen3 evaluator=[perplexity] data.eval=[test.json]
            """
            import tunesmith
            from tunesmith.cli.tables import print_table

            from tunesmith_command_eval.results import COLUMNS, folder_of, model_of, rows_of, seen_in, write

            config, overrides = model_of(config, overrides)
            folder = folder_of(config, overrides)
            with seen_in(folder):
                found = tunesmith.evaluate(config, overrides)
                print_table(COLUMNS, rows_of(found))
                if folder is None:
                    click.echo("nothing is written; output_dir=FOLDER keeps the numbers", err=True)
                else:
                    click.echo(f"done: {write(found, folder)}")

        return command
