"""Host link: UART, frames, and what requests do on the buses of a board."""
