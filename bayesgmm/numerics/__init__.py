"""Linear algebra, assignment, importance weights and tests of uniformity. Nothing here is specific to mixtures."""
