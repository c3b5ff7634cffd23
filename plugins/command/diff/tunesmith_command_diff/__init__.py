"""A command: `tunesmith diff A B`, what two models differ in."""

from __future__ import annotations

from typing import Any

from tunesmith import plugin


@plugin
class Diff:
    """Say what two models differ in: configuration, tensors, tokenizer, chat template, outputs."""

    def command(self) -> Any:
        """The click command; what it needs is imported when it is called."""
        import click

        @click.command("diff")
        @click.argument("first", metavar="A")
        @click.argument("second", metavar="B")
        @click.option("--no-outputs", is_flag=True, help="Leave out what the models answer.")
        @click.option("--json", "as_json", is_flag=True, help="Print everything that was found as JSON.")
        @click.pass_context
        def command(context: click.Context, first: str, second: str, no_outputs: bool, as_json: bool) -> None:
            """Say what two models differ in.

            A and B are folders of runs, models or adapters, or names on a hub. Compared are configurations, every
            tensor, the tokenizers, the chat templates, and what the models say to the run's own conversations.

            A run that trained an adapter is merged in memory to be compared with a whole model; what rounding the
            merged numbers to the file's makes is told, and is no difference.

            Ends with 0 when they are equal, with 1 when they differ or a part could not be compared, and with 2 when
            nothing could.

            \b
            tunesmith diff runs/qwen3 exports/qwen3
            """
            import json

            from tunesmith_command_diff.comparing import compared
            from tunesmith_command_diff.showing import shown

            found = compared(first, second, outputs=not no_outputs)
            click.echo(json.dumps(found.as_json(), indent=2, ensure_ascii=False) if as_json else shown(found))
            context.exit(0 if found.equal else 1)

        return command
