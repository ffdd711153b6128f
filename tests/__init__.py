"""Tests of mla-hw."""
