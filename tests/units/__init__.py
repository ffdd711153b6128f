"""Each unit of the gateware against its golden function and its timing."""
