"""Priors as users write them, what each says within a covariance family, and their posteriors given z."""
