"""What tests compare with: textbook twins, exact posteriors, outside references, Monte Carlo comparisons."""

from pathlib import Path

TRUTH = Path(__file__).parent / "truth"
"""Outside references: fits, draws and tables of other software, with the data that they rest on."""
