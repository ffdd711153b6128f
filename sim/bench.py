"""Verilog top of a simulation: the core, its memory, protocol rules, trace and dumps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from mla_hw.errors import ConfigError

__all__ = ["ENGINES", "TOP", "CoreBench", "Port"]

TOP = "bench"
#: Engines in the order of their numbers in the log.
ENGINES = ("reader", "array", "vector", "writer")

_MEMORY_PORTS = {
    "ar": ("valid", "ready", "addr", "len"),
    "r": ("valid", "ready", "data", "resp", "last"),
    "aw": ("valid", "ready", "addr", "len"),
    "w": ("valid", "ready", "data", "strb", "last"),
    "b": ("valid", "ready", "resp"),
}
_CHECKED_PORTS = {
    "ar": ("valid", "ready", "addr", "len", "size", "burst"),
    "r": ("valid", "ready", "last"),
    "aw": ("valid", "ready", "addr", "len", "size", "burst"),
    "w": ("valid", "ready", "data", "strb", "last"),
    "b": ("valid", "ready"),
}


@dataclass(frozen=True, slots=True)
class Port:
    """Direction (``input`` or ``output``) and width of a port of the core."""

    direction: str
    width: int


@dataclass(frozen=True, kw_only=True, slots=True)
class CoreBench:
    """Everything that the simulation's top is made from.

    Hierarchical names are relative to the core, with dots.

    Parameters
    ----------
    ports : mapping of str to Port
        Ports of module ``accelerator``: ``clk``, ``rst``, ``interrupt``, AXI4 ``memory__*`` and
        AXI4-Lite ``control__*``.
    memory_bytes : int
        Size of the simulated memory.
    start, halt : str
        Signals that are high in the cycle in which the start bit takes effect, and in the one in
        which the program has ended.
    queues : sequence of str
        One module per engine with ``start``, ``start_tag``, ``end``, ``end_tag``; may be empty.
    dumps : sequence of str
        Memories of the core whose content is compared.
    watched : mapping of str to sequence of (str, int)
        Groups of further signals for the wave viewer: names and widths.
    """

    #: Module of the memory, with the ports and parameters of ``sim/models/axi_memory.v``, and the
    #: words in it.
    memory: ClassVar[str] = "axi_memory"
    storage: ClassVar[str] = "memory.data"

    ports: Mapping[str, Port]
    memory_bytes: int
    start: str = "dispatcher.clear"
    halt: str = "dispatcher.halted"
    queues: Sequence[str] = tuple(f"{engine}_queue" for engine in ENGINES)
    dumps: Sequence[str] = ()
    watched: Mapping[str, Sequence[tuple[str, int]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        needed = {"clk", "rst", "interrupt"}
        needed |= {f"memory__{c}__{m}" for c, ms in _MEMORY_PORTS.items() for m in ms}
        if missing := sorted(needed - set(self.ports)):
            raise ConfigError(f"The core has no port {missing[0]!r}: its manifest is incomplete")

    @property
    def port_bytes(self) -> int:
        """Width of the memory port in bytes."""
        return self.ports["memory__r__data"].width // 8

    @property
    def words(self) -> int:
        """Size of the memory in port words."""
        return -(-self.memory_bytes // self.port_bytes)

    def verilog(self) -> str:
        """Return the module; its name is :data:`TOP`."""
        return _TEMPLATE.format(
            top=TOP,
            memory=self.memory,
            storage=self.storage,
            control_ports="".join(self._control_ports()),
            wires="".join(self._wires()),
            connections=",\n".join(f"        .{name}({name})" for name in self.ports),
            memory_ports=_connections(_MEMORY_PORTS),
            checked_ports=_connections(_CHECKED_PORTS),
            address_bits=self.ports["memory__ar__addr"].width,
            data_bits=self.ports["memory__r__data"].width,
            words=self.words,
            start=_path(self.start),
            halt=_path(self.halt),
            trace="".join(self._trace()),
            widths="".join(
                f'        $fdisplay(log, "width {index} %0d", $bits({_path(dump)}[0]));\n'
                for index, dump in enumerate(self.dumps)
            ),
            dumps="".join(
                f'                $writememh($sformatf("dump_%0d_{index}.hex", token), '
                f"{_path(dump)});\n"
                for index, dump in enumerate(self.dumps)
            ),
        )

    def _control_ports(self) -> list[str]:
        """Give the ports of AXI4-Lite and the interrupt to the simulation's top."""
        return [
            f"    {port.direction} {_range(port.width)}{name},\n"
            for name, port in self.ports.items()
            if name.startswith("control__") or name == "interrupt"
        ]

    def _wires(self) -> list[str]:
        return [
            f"    wire {_range(port.width)}{name};\n"
            for name, port in self.ports.items()
            if name.startswith("memory__")
        ]

    def _trace(self) -> list[str]:
        return [
            f"        if ({_path(f'{queue}.{event}')}) "
            f'$fdisplay(log, "{event} {number} %0d %0d", {_path(f"{queue}.{event}_tag")}, now);\n'
            for number, queue in enumerate(self.queues)
            for event in ("end", "start")
        ]


def _range(width: int) -> str:
    return f"[{width - 1}:0] " if width > 1 else ""


def _path(name: str) -> str:
    """Return a hierarchical name below the core; escaped, because ``end`` is a keyword."""
    return ".".join(["dut", *(f"\\{part} " for part in name.split("."))])


def _connections(channels: Mapping[str, Sequence[str]]) -> str:
    return ",\n".join(
        f"        .{channel}_{member}(memory__{channel}__{member})"
        for channel, members in channels.items()
        for member in members
    )


_TEMPLATE = """\
// Simulation of a core; made by sim/bench.py.
module {top} (
    input clk,
    input rst,
{control_ports}\
    input load,          // strobe: read patch_<token>.hex into the memory
    input flip,          // strobe: exclusive or of one word of the memory
    input [31:0] flip_word,
    input [{data_bits}-1:0] flip_mask,
    input refuse,        // the memory answers addresses from .. to with an error
    input [{address_bits}-1:0] refuse_first,
    input [{address_bits}-1:0] refuse_last,
    input dump,          // strobe: write dump_<token>_<number>.hex; the next token begins
    input arm,           // strobe: the next `limit` cycles are awaited
    input [63:0] limit,
    output violated,     // a rule of the bus was broken: see the log
    output reg overtime,
    output attention     // something happened
);
{wires}
    accelerator dut (
{connections}
    );

    integer log;
    initial begin
        log = $fopen("log.txt", "w");
{widths}    end

    // Cycle 0 is the one in which the start bit takes effect.
    integer token;
    reg [63:0] cycle;
    wire start = {start};
    wire halt = {halt};
    wire [63:0] now = start ? 64'd0 : cycle;

    {memory} #(
        .ADDRESS_BITS({address_bits}), .DATA_BITS({data_bits}), .WORDS({words})
    ) memory (
        .clk(clk),
        .rst(rst),
        .log(log),
        .refuse(refuse),
        .refuse_first(refuse_first),
        .refuse_last(refuse_last),
{memory_ports}
    );

    axi_checker #(
        .ADDRESS_BITS({address_bits}), .DATA_BITS({data_bits})
    ) checker_ (
        .clk(clk),
        .rst(rst),
        .log(log),
        .cycle(now),
        .halt(halt),
        .violated(violated),
{checked_ports}
    );

    // An end comes before a start of the same cycle in the log.
    always @(posedge clk) if (!rst) begin
        if (start) $fdisplay(log, "begin %0d", token);
{trace}\
        if (halt) $fdisplay(log, "halt %0d", now);
    end

    always @(posedge clk) begin
        cycle <= rst || arm ? 64'd0 : now + 1;
        overtime <= !rst && !arm && (overtime || now >= limit);
        if (rst) token <= 0;
        else begin
            if (load) $readmemh($sformatf("patch_%0d.hex", token), {storage});
            if (flip) {storage}[flip_word] <= {storage}[flip_word] ^ flip_mask;
            if (dump) begin
{dumps}\
                $fdisplay(log, "end_of_token %0d", token);
                $fflush(log);
                token <= token + 1;
            end
        end
    end

`ifdef __ICARUS__
    reg [8*1024-1:0] waves;
    initial if ($value$plusargs("waves=%s", waves)) begin
        $dumpfile(waves);
        $dumpvars(0, {top});
    end
`endif

    assign attention = interrupt | violated | overtime;
endmodule
"""
