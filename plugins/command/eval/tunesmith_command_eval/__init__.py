"""A command: `tunesmith eval RUN evaluator=[perplexity]`, numbers that say how good a model is."""

from __future__ import annotations

from typing import Any

from tunesmith import plugin


@plugin
class Eval:
    """Measure a model on evaluation sets, write the numbers and a record of each example, and compare two models."""

    def command(self) -> Any:
        """The click command; what it needs is imported when it is called."""
        import click
        from tunesmith.cli.arguments import configured

        from tunesmith_command_eval.subcommand import EvalCommand

        @click.command("eval", cls=EvalCommand)
        @configured
        @click.option("--before", is_flag=True, help="Measure also the model that the run was trained from.")
        def command(config: str | None, overrides: list[str], before: bool) -> None:
            """Measure a model.

            CONFIG is a run's folder, an exported model's, or a YAML file that names a model. The data sets are those of
            data.eval; a run without any is measured on what it held out. The numbers go into eval/NAME/results.json in
            the run's folder, or in output_dir, and a record of each example into samples.jsonl beside them.

            \b
            tunesmith eval runs/qwen3 evaluator=[perplexity] data.eval=[test.json]
            tunesmith eval runs/qwen3 --before evaluator=[perplexity] data.eval=[general.json]
            tunesmith eval compare RUN_A RUN_B        (tunesmith eval compare --help)
            """
            from tunesmith_command_eval.running import run

            run(config, overrides, before)

        return command
