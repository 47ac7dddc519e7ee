"""Rows that stay on disk: files that are read part by part, and the table that stands for them."""
