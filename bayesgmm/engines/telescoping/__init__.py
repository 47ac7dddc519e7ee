"""The telescoping sampler: mixtures of which the number of components is not known."""
