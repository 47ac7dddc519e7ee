"""Seeded bad and odd arguments for every public callable and the command line. `python -m tests.fuzz --help`."""
