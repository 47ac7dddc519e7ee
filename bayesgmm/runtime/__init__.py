"""Compiled programs, precision, arguments, progress, interrupts and checkpoints."""
