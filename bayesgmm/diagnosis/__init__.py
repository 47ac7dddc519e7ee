"""Diagnosis of draws: mixing, label switching, several modes, too many components."""
