"""Results of engines: fits, posteriors and DataTrees; draws made by other software; verdict sentences."""
