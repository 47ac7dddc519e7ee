"""Data from users and from files, checked and converted to one form."""
