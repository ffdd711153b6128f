"""Amaranth gateware of the MLA decode core."""
