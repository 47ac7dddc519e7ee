"""Partitions of the rows: point estimates, credible balls, distances, agreement between engines."""
