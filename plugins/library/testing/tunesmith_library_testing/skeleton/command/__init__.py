"""A command: `tunesmith placeholder FOLDER`."""

from pathlib import Path
from typing import Any

from tunesmith import plugin


@plugin
class Placeholder:
    """Show how much room each folder of a run takes."""

    def command(self) -> Any:
        """The click command; what it needs is imported when it is called."""
        import click

        @click.command("placeholder")
        @click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
        @click.option("--smallest", default=0, show_default=True, help="Leave out what takes fewer bytes than this.")
        def command(folder: Path, smallest: int) -> None:
            """Show how much room each folder of a run takes, in bytes."""
            for entry in sorted(path for path in folder.iterdir() if path.is_dir()):
                size = sum(file.stat().st_size for file in entry.rglob("*") if file.is_file())
                if size >= smallest:
                    click.echo(f"{size:>14,}  {entry.name}")

        return command
