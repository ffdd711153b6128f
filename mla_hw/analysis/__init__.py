"""Comparison of attention schemes on models and machines, before anything is built."""
