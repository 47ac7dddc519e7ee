"""The command line: `compare`, `fit`, `select`, `sample`, `telescoping`, `diagnose` and others.

Files are written first, then results are printed, so that no failure of the terminal loses a file. Exit codes: 0; 1 for
a fault of bayesgmm; 2 for a user-facing error; 3 if a result could not be written (it is elsewhere, or printed only);
130 after Ctrl-C and 143 after SIGTERM, with what there was by then written.
"""

from bayesgmm.cli.commands import app, main

__all__ = ["app", "main"]
