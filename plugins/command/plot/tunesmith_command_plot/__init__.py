"""A command: `tunesmith plot RUN…`, the curves of runs as a picture."""

from __future__ import annotations

from typing import Any

from tunesmith import plugin


@plugin
class Plot:
    """Draw the curves of one run, or of several in one figure."""

    def command(self) -> Any:
        """The click command; what it needs is imported when it is called."""
        import click
        from tunesmith.cli.output import say

        @click.command("plot")
        @click.argument("runs", metavar="RUN…", nargs=-1, required=True)
        @click.option("-o", "--output", default=None, help="The picture: .png, .svg or .pdf; else RUN/curves.png.")
        @click.option("--metrics", default=None, help="What is drawn, such as loss,grad_norm; else all that is known.")
        @click.option("--smoothing", default=0.9, show_default=True, help="Share of the past in smoothed curves.",
                      type=click.FloatRange(0, 1, max_open=True))  # fmt: skip
        @click.option("--x", "axis", default="step", show_default=True, help="What the curves are drawn over.",
                      type=click.Choice(["step", "tokens", "time", "epoch"]))  # fmt: skip
        def command(
            runs: tuple[str, ...], output: str | None, metrics: str | None, smoothing: float, axis: str
        ) -> None:
            """Draw the curves of one run, or of several in one figure.

            RUN is the folder of a run, also of one that is going on, or a file of metrics: ours, LLaMA-Factory's
            trainer_log.jsonl or transformers' trainer_state.json. Drawn are loss, rewards, accuracy, learning rate, the
            norm of the gradient, memory, and what evaluators found out.

            \b
            tunesmith plot runs/qwen3
            tunesmith plot runs/a runs/b --metrics loss,grad_norm --x tokens -o both.svg
            """
            from tunesmith_command_plot.plotting import plotted

            chosen = [name.strip() for name in metrics.split(",") if name.strip()] if metrics else []
            say(f"drawn: {plotted(runs, output, chosen, smoothing, axis)}")

        return command
