"""Model checking: leave-one-out, K-fold, PIT, predictive checks, prior sensitivity, calibration."""
