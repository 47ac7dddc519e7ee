"""Gibbs and NUTS: the loop over chains that they share, and what is particular to each."""
