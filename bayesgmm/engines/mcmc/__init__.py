"""Gibbs and NUTS: their shared loop over chains, and the parts specific to each."""
