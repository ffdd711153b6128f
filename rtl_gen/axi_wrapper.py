"""Wrapper that gives the core's ports the names that vendors' tools look for."""

from collections.abc import Mapping

__all__ = ["AXI_WRAPPER_NAME", "axi_wrapper_verilog", "standard_name"]

AXI_WRAPPER_NAME = "accelerator_axi"

_BUSES = {"memory": "m_axi", "control": "s_axi"}
_HEAD = """\
// The core with the names that tools for block designs look for: {buses}; all of it at
// aclk, with aresetn (active low, synchronous to aclk) in place of rst.
module {name} (
    (* X_INTERFACE_INFO = "xilinx.com:signal:clock:1.0 aclk CLK" *)
    (* X_INTERFACE_PARAMETER = "ASSOCIATED_BUSIF {joined}, ASSOCIATED_RESET aresetn" *)
    input wire aclk,
    (* X_INTERFACE_INFO = "xilinx.com:signal:reset:1.0 aresetn RST" *)
    (* X_INTERFACE_PARAMETER = "POLARITY ACTIVE_LOW" *)
    input wire aresetn,
"""


def standard_name(port: str) -> str:
    """Return the standard's name of a port: ``memory__ar__valid`` is ``m_axi_arvalid``."""
    bus, *path = port.split("__")
    return f"{_BUSES[bus]}_{''.join(path)}" if bus in _BUSES else port


def axi_wrapper_verilog(
    ports: Mapping[str, Mapping[str, str | int]],
    *,
    core: str = "accelerator",
    name: str = AXI_WRAPPER_NAME,
) -> str:
    """Write a module around the core, which only renames its ports and inverts the reset.

    Parameters
    ----------
    ports : mapping
        As :func:`rtl_gen.verilog.port_table` gives them.
    core, name : str
        Names of the modules.
    """
    declarations, connections = [], [".clk(aclk)", ".rst(~aresetn)"]
    for port, entry in ports.items():
        if port in ("clk", "rst"):
            continue
        width = int(entry["width"])
        bits = f"[{width - 1}:0] " if width > 1 else ""
        declarations.append(f"    {entry['direction']} wire {bits}{standard_name(port)}")
        connections.append(f".{port}({standard_name(port)})")
    head = _HEAD.format(
        name=name, joined=":".join(_BUSES.values()), buses=" and ".join(_BUSES.values())
    )
    joined = ",\n        ".join(connections)
    return (
        head
        + ",\n".join(declarations)
        + f"\n);\n    {core} core (\n        {joined}\n    );\nendmodule\n"
    )
