"""Units of the core, one component per file."""
