"""Verilog top of a simulation in which a core has its memory behind LiteDRAM's controller.

In place of ``sim/models/axi_memory.v`` the core gets :class:`rtl_gen.memory.litedram.LiteDram` and
the chip's model; image and patches are read into the chip. Everything else is as in
:mod:`sim.bench`, so that the same comparisons can be made.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from amaranth.utils import exact_log2

from rtl_gen.memory.litedram import LiteDram
from rtl_gen.memory.litedram_core import LiteDramCore
from rtl_gen.verilog import emit_verilog, port_table
from sim.bench import CoreBench
from sim.memory_bench import MODELS, instances, signal_range

__all__ = ["LiteDramBench"]

_MODULE, _MEMORY = "litedram_memory", "memory_side"


@dataclass(frozen=True, kw_only=True)
class LiteDramBench(CoreBench):
    """Top with LiteDRAM and a chip.

    Parameters
    ----------
    controller : LiteDramCore
    chip : mapping of str to int
        Parameters of ``sim/models/sdram.v``; the size is that of the memory.
    """

    memory: ClassVar[str] = _MODULE
    storage: ClassVar[str] = "memory.chip.data"

    controller: LiteDramCore
    chip: Mapping[str, int] = field(default_factory=dict)

    @property
    def models(self) -> list[Path]:
        """Sources that the top needs beside those of the core."""
        return [MODELS / f"{self.controller.family}_io.v", MODELS / "sdram.v"]

    def verilog(self) -> str:
        """Return the top, and the modules of the memory side."""
        memory = LiteDram(self.controller, data_bits=8 * self.port_bytes)
        texts = emit_verilog(memory, name=_MEMORY)
        return "\n".join([
            super().verilog(),
            self._memory(memory),
            *texts.values(),
            self.controller.verilog,
        ])

    def _memory(self, memory: LiteDram) -> str:
        """Return the module that has the ports of ``axi_memory``."""
        pack = memory.data_bits // self.controller.data_bits
        chip = {**self.chip, "PACK": pack, "WORDS": pack * self.words}
        return _TEMPLATE.format(
            module=_MODULE,
            wires="\n".join(_wires(memory)),
            instances="\n".join(instances(memory, _MEMORY, chip)),
        )


def _wires(memory: LiteDram) -> list[str]:
    """Join the ports of the memory side to those of ``axi_memory``, or to constants."""
    constants = {"size": exact_log2(memory.data_bits // 8), "burst": 1, "cache": 3, "prot": 0}
    lines = []
    for name, entry in port_table(memory).items():
        interface, *path = name.split("__")
        if interface in ("clk", "rst", "pads"):
            continue
        wire = f"    wire {signal_range(int(entry['width']))}{name}"
        outside = "_".join(path)
        if entry["direction"] == "output":
            lines.append(f"{wire};")
            if interface == "bus":
                lines.append(f"    assign {outside} = {name};")
        elif interface == "bus":
            lines.append(f"{wire} = {constants.get(path[-1], outside)};")
        else:
            lines.append(f"{wire} = 0;")
    return lines


_TEMPLATE = """\
// LiteDRAM and its chip with the ports of axi_memory; made by sim/litedram_bench.py. It refuses
// nothing.
module {module} #(
    parameter ADDRESS_BITS = 32,
    parameter DATA_BITS = 64,
    parameter WORDS = 1024
) (
    input clk,
    input rst,
    input [31:0] log,
    input refuse,
    input [ADDRESS_BITS-1:0] refuse_first,
    input [ADDRESS_BITS-1:0] refuse_last,
    input ar_valid,
    output ar_ready,
    input [ADDRESS_BITS-1:0] ar_addr,
    input [7:0] ar_len,
    output r_valid,
    input r_ready,
    output [DATA_BITS-1:0] r_data,
    output [1:0] r_resp,
    output r_last,
    input aw_valid,
    output aw_ready,
    input [ADDRESS_BITS-1:0] aw_addr,
    input [7:0] aw_len,
    input w_valid,
    output w_ready,
    input [DATA_BITS-1:0] w_data,
    input [DATA_BITS/8-1:0] w_strb,
    input w_last,
    output b_valid,
    input b_ready,
    output [1:0] b_resp
);
    localparam BYTES = DATA_BITS / 8;
    localparam BURSTS = 256;  // beats and bursts that may be under way
    localparam SETTLE = 8;    // cycles from a response until the data are in the chip, or more

    wire [31:0] errors;
{wires}
{instances}

    integer i;
    initial begin
        for (i = 0; i < WORDS; i = i + 1) chip.data[i] = 0;
        $readmemh("image.hex", chip.data);
    end

    // The log has what is in the chip, not what was on the bus.
    reg [ADDRESS_BITS-1:0] addresses[0:BURSTS-1], address;
    reg [7:0] lengths[0:BURSTS-1];
    reg [BYTES-1:0] strobes[0:BURSTS-1];
    reg [7:0] aw_in, aw_out, w_in, w_out;
    reg [SETTLE-1:0] answered;
    always @(posedge clk) begin
        if (rst) begin
            aw_in = 0;
            aw_out = 0;
            w_in = 0;
            w_out = 0;
            answered = 0;
        end else begin
            if (answered[SETTLE-1]) begin
                for (i = 0; i <= lengths[aw_out]; i = i + 1) begin
                    address = addresses[aw_out] + i * BYTES;
                    $fdisplay(log, "write %h %h %h",
                              address, chip.data[address/BYTES], strobes[w_out]);
                    w_out = w_out + 1'b1;
                end
                aw_out = aw_out + 1'b1;
            end
            answered = {{answered[SETTLE-2:0], b_valid && b_ready}};
            if (aw_valid && aw_ready) begin
                addresses[aw_in] = aw_addr;
                lengths[aw_in] = aw_len;
                aw_in = aw_in + 1'b1;
            end
            if (w_valid && w_ready) begin
                strobes[w_in] = w_strb;
                w_in = w_in + 1'b1;
            end
        end
    end
endmodule
"""
