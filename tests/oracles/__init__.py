"""Oracles for the tests: reference implementations, exact posteriors, other software, Monte Carlo comparisons."""

from pathlib import Path

TRUTH = Path(__file__).parent / "truth"
"""External references: fits, draws and tables of other software, with their data."""
