"""How a command ends: with its exit code, also after Ctrl-C or SIGTERM."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from bayesgmm.comparison.options import error_in_options
from bayesgmm.comparison.terminal import report_error, say
from bayesgmm.errors import BayesGMMError
from bayesgmm.runtime.files import Output
from bayesgmm.runtime.interrupt import Stop, interruptible


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Take Ctrl-C and SIGTERM as a flag; an error that follows ends with the code of the signal."""
    with interruptible(signal.SIGINT, signal.SIGTERM) as stop:
        try:
            yield stop
        except BayesGMMError as error:
            if not stop.is_set():
                raise
            report_error(error_in_options(error))
            raise typer.Exit(128 + stop.number) from None


def finish(output: Output, stop: Stop | None = None) -> None:
    """End with the code for an interruption, or for a result that could not be written."""
    say(*output.problems, error=True)
    if stop is not None and stop.is_set():
        say("Stopped before the end.", error=True)
        raise typer.Exit(128 + stop.number)
    if output.problems:
        raise typer.Exit(3)
