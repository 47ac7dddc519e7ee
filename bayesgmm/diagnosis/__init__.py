"""What draws support: mixing, label switching, several modes, too many components."""
