"""CAVI, SVI and Laplace: the run that they share, and what is particular to each."""
