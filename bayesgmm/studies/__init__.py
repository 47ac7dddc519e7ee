"""Many data sets: how far estimates and intervals are from the truth, for each engine."""
