"""Save every result to one file, and load it again: arrays and a manifest of JSON, without pickle."""
