"""What engines return: fits, posteriors and their DataTrees; draws of other software; what results support, in words."""
