"""The curvature of the objective at θ: information, scores, and what follows for the parameters."""
