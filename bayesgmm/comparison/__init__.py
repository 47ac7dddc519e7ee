"""Comparison of several engines on one model under one prior: results, HTML report, terminal tables."""
