"""The equations of a Gaussian mixture, its types, its covariance families, and the alignment of components."""
