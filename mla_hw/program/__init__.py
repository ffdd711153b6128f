"""Instruction set, programs and the memory image."""
