"""Compiler, golden model and cycle model of an FPGA core for Multi-head Latent Attention."""
