"""Tests of the model side: configuration, checkpoints, RoPE, decode graph."""
