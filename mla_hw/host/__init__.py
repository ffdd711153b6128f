"""Host link: protocol, frames and the driver of a core on a board."""
