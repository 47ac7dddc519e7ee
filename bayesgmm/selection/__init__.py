"""The table of fits over covariance families and numbers of components."""
