"""All access to the rows: how rows are read, the pass for statistics, and the pass for each row."""
