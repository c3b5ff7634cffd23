"""A command: `tunesmith verify RUN --url URL`, whether a server answers with what was trained."""

from __future__ import annotations

from typing import Any

from tunesmith import plugin


@plugin
class Verify:
    """Ask a running server, and say whether it serves what was trained, or what differs."""

    def command(self) -> Any:
        """The click command; what it needs is imported when it is called."""
        import click

        tolerance = click.FloatRange(0, 100)
        seconds = click.FloatRange(0, 86_400, min_open=True)
        waiting = click.FloatRange(0, 86_400)

        @click.command("verify")
        @click.argument("run", metavar="RUN")
        @click.option("--url", required=True, help="Of an OpenAI-compatible server: http://localhost:8000.")
        @click.option("--model", help="Name of the model on the server; may be left out when it has one.")
        @click.option("--api-key-env", metavar="NAME", help="Environment variable that holds the server's key.")
        @click.option("--tolerance", type=tolerance, default=0.1, show_default=True, help="Mean difference in nats.")
        @click.option("--timeout", type=seconds, default=120.0, show_default=True, help="Seconds for one answer.")
        @click.option("--wait", type=waiting, default=120.0, show_default=True, help="Seconds for a server to start.")
        @click.option("--json", "as_json", is_flag=True, help="Print everything that was found as JSON.")
        @click.pass_context
        def command(context: click.Context, /, run: str, as_json: bool, tolerance: float, **server: Any) -> None:
            """Say whether a server answers with the model that was trained.

            RUN is a run's folder, a model's or an adapter's. The run's own conversations are asked with temperature 0;
            numbers of tokens, first choices and log-probabilities are compared with the model in memory.

            Ends with 0 when what is served is what was trained, with 1 when something differs, with 2 when it could not
            be compared.

            \b
            tunesmith verify runs/qwen3 --url http://localhost:8000 --model qwen3
            """
            import json

            from tunesmith.cli.languages import translate

            from tunesmith_command_verify.verifying import verified

            found = verified(run, tolerance=tolerance, **server)
            click.echo(
                json.dumps(found.as_json(), indent=2, ensure_ascii=False) if as_json else translate(found.described())
            )
            context.exit(1 if found.problems() else 0)

        return command
