"""The memory side of a board: what lies between the core's port and the memory chip."""
