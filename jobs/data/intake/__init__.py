"""Takes rows in: from what a source yields to blocks of prepared rows, here or on all nodes, and to splits."""
