"""Priors as users specify them, priors within a covariance family, and posteriors given z."""
