"""Table 1 and Figs 2 to 6 of arXiv 2506.02523, from counts of the decode graph."""
