"""EM: the ascent, its acceleration, and the multi-start search."""
