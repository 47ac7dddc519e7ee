"""Several engines on one model under one prior: the comparison, its report, its tables at a terminal."""
