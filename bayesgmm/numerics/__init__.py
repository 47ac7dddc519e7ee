"""Linear algebra, assignment, importance weights and tests of uniformity: arithmetic that knows nothing of mixtures."""
