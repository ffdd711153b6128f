import json

import pytest
from amaranth import Module
from amaranth.back import verilog
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from mla_hw.cli.families import FAMILIES
from mla_hw.cli.fpga_tools import find_yosys, run_tool
from mla_hw.devices import DEVICES, UNBOUNDED, MemoryMapping, find_device
from mla_hw.errors import ConfigError

# Width, depth, lane width, read ports, transparent: the shapes of block RAM, what is just above
# them, shapes that need several, byte writes, copies, both sides of the border to distributed RAM.
MEMORIES = [
    (2, 5000, 2, 1, False),
    (4, 4096, 4, 1, False),
    (8, 4096, 8, 1, False),
    (9, 2048, 9, 1, False),
    (10, 2048, 10, 1, False),
    (18, 1024, 18, 1, False),
    (18, 3000, 18, 1, False),
    (20, 1500, 20, 1, False),
    (10, 3000, 10, 1, False),
    (36, 512, 36, 1, False),
    (36, 513, 36, 1, False),
    (37, 600, 37, 1, False),
    (40, 512, 40, 1, False),
    (64, 1024, 64, 1, False),
    (64, 1024, 8, 1, False),
    (64, 512, 8, 1, False),
    (32, 2048, 8, 1, False),
    (64, 512, 16, 1, False),
    (36, 512, 36, 2, False),
    (18, 700, 18, 3, False),
    (16, 32, 16, 2, False),
    (28, 64, 28, 1, False),
    (24, 64, 24, 1, False),
    (10, 128, 10, 1, False),
    (12, 128, 12, 1, False),
    (36, 48, 36, 1, False),
    (144, 16, 144, 1, False),
    (64, 48, 64, 1, False),
    (64, 32, 8, 1, False),
    (4, 256, 4, 1, False),
    (1, 432, 1, 1, False),
    (1, 512, 1, 1, False),
    (4, 4, 4, 1, False),
    (1, 4, 1, 1, False),
    (24, 64, 24, 1, True),
    (10, 128, 10, 1, True),
    (8, 160, 8, 1, True),
    (36, 512, 36, 2, True),
    (16, 32, 16, 2, True),
]


class SingleMemory(wiring.Component):
    """A memory alone, its ports outside."""

    def __init__(self, width, depth, lane_width, read_ports, transparent):
        self.shape = width, depth, lane_width, read_ports, transparent
        super().__init__({
            "w_data": In(width),
            "w_addr": In(range(depth)),
            "w_en": In(width // lane_width),
            "r_addr": In(range(depth)).array(read_ports),
            "r_data": Out(width).array(read_ports),
        })

    def elaborate(self, platform):
        width, depth, lane_width, read_ports, transparent = self.shape
        m = Module()
        m.submodules.storage = storage = memory.Memory(shape=width, depth=depth, init=[])
        w_port = storage.write_port(granularity=lane_width if lane_width != width else None)
        m.d.comb += [
            w_port.addr.eq(self.w_addr),
            w_port.data.eq(self.w_data),
            w_port.en.eq(self.w_en),
        ]
        for i in range(read_ports):
            r_port = storage.read_port(transparent_for=[w_port] if transparent else [])
            m.d.comb += [
                r_port.en.eq(1),
                r_port.addr.eq(self.r_addr[i]),
                self.r_data[i].eq(r_port.data),
            ]
        return m


def synthesise(folder, family, memories):
    """Return the cells that Yosys makes of each memory, in one run."""
    tools = FAMILIES[family]
    script = []
    for index, parameters in enumerate(memories):
        text = verilog.convert(SingleMemory(*parameters), name="top", emit_src=False)
        (folder / f"m{index}.v").write_text(text, encoding="utf-8")
        steps = tools.script("top", [f"read_verilog -sv m{index}.v"])
        script += [
            *(f"tee -q {step}" for step in steps),
            f"tee -q -o m{index}.json stat -json",
            "design -reset",
        ]
    (folder / "all.ys").write_text("\n".join(script) + "\n", encoding="utf-8")
    command, _ = find_yosys("all.ys")
    run_tool(command, log=folder / "all.log", name="yosys")
    reports = [
        json.loads((folder / f"m{index}.json").read_text(encoding="utf-8"))
        for index in range(len(memories))
    ]
    return [report["design"]["num_cells_by_type"] for report in reports]


def count(cells, names):
    return sum(cells.get(name, 0) for name in names)


@pytest.mark.synth
@pytest.mark.slow
@pytest.mark.parametrize("name", ["LFE5U-25F", "iCE40UP5K", "GW2AR-18", "LIFCL-40"])
def test_memory_mapping_is_that_of_yosys(tmp_path, name):
    device = find_device(name)
    # Reading a family's cells takes longer than the memories do.
    memories = MEMORIES if device.family == "ecp5" else MEMORIES[::2]
    found, predicted = {}, {}
    cells_of_each = synthesise(tmp_path, device.family, memories)
    for parameters, cells in zip(memories, cells_of_each, strict=True):
        width, depth, lane_width, read_ports, transparent = parameters
        size = {"lane_width": lane_width, "read_ports": read_ports, "transparent": transparent}
        found[parameters] = MemoryMapping(
            blocks=count(cells, device.block_cell.names),
            distributed=count(cells, device.distributed_cell.names)
            if device.distributed_cell
            else 0,
        )
        predicted[parameters] = device.map_memory(width, depth, **size)
    assert predicted == found


def test_latent_ring_of_sixteen_banks():
    # Measured: 16 banks of 4096 bytes are 32 block RAMs.
    assert 16 * find_device("LFE5U-85F").map_memory(8, 4096).blocks == 32


def test_device_facts():
    assert {d.name: (d.family, d.lut, d.ff, d.bram, d.dsp) for d in DEVICES.values()} == {
        "LFE5U-12F": ("ecp5", 24288, 24288, 56, 28),
        "LFE5U-25F": ("ecp5", 24288, 24288, 56, 28),
        "LFE5U-45F": ("ecp5", 43848, 43848, 108, 72),
        "LFE5U-85F": ("ecp5", 83640, 83640, 208, 156),
        "LFE5UM5G-85F": ("ecp5", 83640, 83640, 208, 156),
        "iCE40UP5K": ("ice40", 5280, 5280, 30, 8),
        "GW2AR-18": ("gowin", 20736, 15552, 46, 48),
        "LIFCL-40": ("nexus", 32256, 32256, 84, 56),
        "any": ("portable", *(UNBOUNDED,) * 4),
    }
    assert find_device("iCE40UP5K").bram_bits == 4096


def test_unknown_device_lists_the_known_ones():
    with pytest.raises(
        ConfigError, match=r"'LFE5U-85': did you mean LFE5U-85F.*LFE5U-12F, LFE5U-25F"
    ):
        find_device("LFE5U-85")


@pytest.mark.parametrize(
    ("width", "depth", "options"),
    [
        (0, 16, {}),
        (8, 0, {}),
        (12, 16, {"lane_width": 8}),
        (8, 16, {"lane_width": 0}),
        (8, 16, {"read_ports": 0}),
    ],
)
def test_rejects_memory_size(width, depth, options):
    with pytest.raises(ConfigError, match=f"not width {width}, depth {depth}, lane_width"):
        find_device("LFE5U-25F").map_memory(width, depth, **options)
