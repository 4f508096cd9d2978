"""The `emopi` command: finds its subcommands by entry point, turns errors into one line."""

from __future__ import annotations

import io
import os
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import click

from emopi.device.commands.listed import COMMANDS
from emopi.device.errors import EmopiError
from emopi.device.quiet import keep_own_stderr

GROUP = "emopi.commands"


class Commands(click.Group):
    """Subcommands from the entry points of `GROUP`, loaded when named.

    One that stands in `device/commands/NAME.py` is found without reading the entry points, which
    would take a quarter of the time that `emopi listen` needs to start.
    """

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Names, in alphabetical order."""
        return list(COMMANDS)

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """A line for each command, of which none is imported."""
        limit = formatter.width - 6 - max(map(len, COMMANDS))
        lines = [
            (name, click.Command(name, help=text).get_short_help_str(limit))
            for name, text in COMMANDS.items()
        ]
        with formatter.section("Commands"):
            formatter.write_dl(lines)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module that holds the command."""
        name = cmd_name.replace("-", "_")
        if cmd_name in COMMANDS and find_spec(f"emopi.device.commands.{name}"):
            own: click.Command = getattr(import_module(f"emopi.device.commands.{name}"), name)
            return own
        from importlib.metadata import entry_points

        found = tuple(entry_points(group=GROUP, name=cmd_name))
        command: click.Command | None = found[0].load() if found else None
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="emopi", prog_name="emopi")
def cli() -> None:
    """Speech emotion recognition on a Raspberry Pi: train, quantize to int8, listen.

    The labels are those of actors playing emotions; they are often wrong for real people.
    """


def main() -> None:
    """Run the command line; exit 0, 1 after an operational error, 2 after a usage error."""
    _mend_standard_streams()
    # our matrix products are small: NumPy's threads would only cost memory, and another's core
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    debug = os.environ.get("EMOPI_DEBUG") == "1"
    try:
        cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(1)
    except EmopiError as error:
        if debug:
            raise
        click.echo(f"emopi: {error}", err=True)
        sys.exit(1)
    except Exception as error:
        if debug:
            raise
        click.echo(
            f"emopi: {type(error).__name__}: {error} (this is a bug, or the system failed; "
            "EMOPI_DEBUG=1 shows where)",
            err=True,
        )
        sys.exit(1)


def _mend_standard_streams() -> None:
    """Open what a daemon's parent has closed, and let any file name be printed."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115 - for as long as we run
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    keep_own_stderr()


if __name__ == "__main__":
    main()
