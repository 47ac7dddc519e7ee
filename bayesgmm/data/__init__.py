"""Data from users and from files, checked and brought to one form."""
