"""CAVI, SVI and Laplace: their shared run, and the parts specific to each."""
