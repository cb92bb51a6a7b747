"""The `kvandal` command."""

from __future__ import annotations

import signal
import sys
from types import FrameType

import typer

from kvandal.cli import bench, compare, params, report, run, show, trace
from kvandal.errors import KvandalError

INTERRUPTED = 130
TERMINATED = 143

app = typer.Typer(
    name="kvandal",
    help="The digital twin of a sovereign AI data centre: who gets the GPUs, what it draws, where the heat goes, "
    "what it costs and emits.",
    epilog="Example: kvandal run stargate-norway --days 7",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("run", epilog="Example: kvandal run stargate-norway --days 7 --set site.grid_mw=200 --out runs/week")(run.run)
app.command("show", epilog="Example: kvandal show stargate-norway    or    kvandal show runs/week")(show.show)
app.command("params", epilog="Example: kvandal params cooling")(params.params)
app.command("compare", epilog="Example: kvandal compare runs/week runs/week-200-mw")(compare.compare)
app.command("report", epilog="Example: kvandal report runs/week --out week.html")(report.report)
app.command("bench", epilog="Example: kvandal bench --days 7 --json")(bench.bench)
traces = typer.Typer(help="Job traces.", no_args_is_help=True, rich_markup_mode=None)
traces.command("info", epilog="Example: kvandal trace info philly    or    kvandal trace info my-jobs.csv")(trace.info)
app.add_typer(traces, name="trace", epilog="Example: kvandal trace info lingjun --json")


def _version(wanted: bool) -> None:
    if wanted:
        from kvandal import __version__

        print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Take the options that stand before a command."""


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(TERMINATED)


def main() -> None:
    """Run the command line: an error that the user can repair is one line on standard error and exit code 2."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        app(standalone_mode=True)
    except KvandalError as error:
        print(f"kvandal: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("\nkvandal: interrupted; nothing was kept", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except MemoryError:
        print("kvandal: not enough memory; try fewer days or a longer run.tick_s", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
