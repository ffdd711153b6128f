"""Simulation of the whole core: cocotb on Verilator or Icarus Verilog."""
