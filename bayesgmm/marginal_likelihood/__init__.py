"""The marginal likelihood (evidence) of a model, from draws of its posterior."""
