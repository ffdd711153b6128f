"""The devices that are known, by family. The resource counts are the vendor's."""

from mla_hw.devices.device import UNBOUNDED, Device, MultiplierSites
from mla_hw.devices.memory import MemoryCell

__all__ = ["FAMILIES"]

_SHAPES_18K = ((16384, 1), (8192, 2), (4096, 4), (2048, 9), (1024, 18), (512, 36))
_BITS_18K = 18 * 1024

ECP5_BLOCK = MemoryCell(
    names=("DP16KD",),
    shapes=_SHAPES_18K,
    write_lane=9,
    cost=128,
    old_word=(3, 4),
    new_word=(0, 4),
    any_word=(0, 1),
)
ECP5_DISTRIBUTED = MemoryCell(
    names=("TRELLIS_DPR16X4",),
    shapes=((16, 4),),
    write_lane=4,
    cost=4,
    old_word=(0, 1),
    new_word=(0, 4),
    any_word=(0, 1),
)


# Sites as in Project Trellis' database (tilegrid.json, tiles MIB_DSP0).
_SITES_25 = MultiplierSites(rows=(13,), blocks=(4, 13, 22, 33, 42, 51, 60))
_SITES_45 = MultiplierSites(rows=(22, 46), blocks=(4, 13, 22, 31, 42, 51, 60, 69, 78))
_SITES_85 = MultiplierSites(
    rows=(10, 34, 58), blocks=(4, 13, 22, 31, 40, 49, 58, 69, 78, 87, 96, 105, 114)
)


def _ecp5(name: str, die: str, lut: int, bram: int, dsp: int, sites: MultiplierSites) -> Device:
    return Device(
        name=name,
        family="ecp5",
        lut=lut,
        ff=lut,
        bram=bram,
        bram_bits=_BITS_18K,
        dsp=dsp,
        die=die,
        block_cell=ECP5_BLOCK,
        distributed_cell=ECP5_DISTRIBUTED,
        # Four for the contents; the write port blocks the two of its own slice.
        distributed_lut=6,
        multiplier_sites=sites,
    )


_ECP5 = (
    _ecp5("LFE5U-12F", "12k", 24288, 56, 28, _SITES_25),
    _ecp5("LFE5U-25F", "25k", 24288, 56, 28, _SITES_25),
    _ecp5("LFE5U-45F", "45k", 43848, 108, 72, _SITES_45),
    _ecp5("LFE5U-85F", "85k", 83640, 208, 156, _SITES_85),
    _ecp5("LFE5UM5G-85F", "um5g-85k", 83640, 208, 156, _SITES_85),
)

_ICE40 = Device(
    name="iCE40UP5K",
    family="ice40",
    lut=5280,
    ff=5280,
    bram=30,
    bram_bits=4 * 1024,
    dsp=8,
    die="up5k",
    block_cell=MemoryCell(
        names=("SB_RAM40_4K",),
        shapes=((2048, 2), (1024, 4), (512, 8), (256, 16)),
        # The masks of the widest shape make narrower lanes.
        write_lane=1,
        cost=64,
        old_word=(3, 4),
        new_word=(0, 4),
        any_word=(0, 1),
    ),
    distributed_cell=None,
    distributed_lut=0,
    on_chip={"spram": 4 * 32 * 1024},
    # Logic cells: a flip-flop that no look-up table drives takes one as well.
    logic_factor=1.72,
)

_GOWIN = Device(
    name="GW2AR-18",
    family="gowin",
    lut=20736,
    ff=15552,
    bram=46,
    bram_bits=_BITS_18K,
    dsp=48,
    die="GW2A-18C",
    part="GW2AR-LV18{package}C{speed_grade}/I7",
    block_cell=MemoryCell(
        names=("SDPB", "SDPX9B", "DPB", "DPX9B"),
        shapes=_SHAPES_18K,
        write_lane=9,
        cost=128,
        old_word=(3, 4),
        new_word=(0, 4),
        any_word=(0, 1),
    ),
    distributed_cell=MemoryCell(
        names=("RAM16SDP4",),
        shapes=((16, 4),),
        write_lane=4,
        cost=4,
        cost_by_width=True,
        old_word=(0, 1),
        new_word=(0, 4),
        any_word=(0, 1),
    ),
    distributed_lut=8,
    wide_memory=64,
    # With the flip-flops that no look-up table drives, which take the place of one.
    logic_factor=1.44,
)

_NEXUS = Device(
    name="LIFCL-40",
    family="nexus",
    lut=32256,
    ff=32256,
    bram=84,
    bram_bits=_BITS_18K,
    dsp=56,
    die="LIFCL-40",
    part="LIFCL-40-{speed_grade}{package}C",
    on_chip={"lram": 2 * 64 * 1024},
    # For a net that is not wholly in the upper left quarter, or in all four, router2 of a nextpnr
    # without threads finds no way into the clock tree, whose wires are at X0/Y0. From a pin to the
    # left and to the top is in all four.
    pll_site="X1/Y0/PLL_ULC",
    clock_buffer_sites=("X0/Y28/DCC_L0", "X49/Y0/DCC_T0"),
    block_cell=MemoryCell(
        names=("PDPSC16K", "PDP16K"),
        shapes=_SHAPES_18K,
        write_lane=9,
        cost=128,
        # Both ports have one clock, and the read port of such a cell reads first.
        old_word=(0, 1),
        new_word=(0, 4),
        any_word=(0, 1),
    ),
    distributed_cell=MemoryCell(
        names=("DPR16X4",),
        shapes=((16, 4),),
        write_lane=4,
        cost=4,
        old_word=(0, 1),
        new_word=(0, 4),
        any_word=(0, 1),
    ),
    distributed_lut=4,
)

# Whatever has an AXI port: nothing of it is known, so everything fits.
_ANY = Device(
    name="any",
    family="portable",
    lut=UNBOUNDED,
    ff=UNBOUNDED,
    bram=UNBOUNDED,
    bram_bits=_BITS_18K,
    dsp=UNBOUNDED,
    die="",
    block_cell=ECP5_BLOCK,
    distributed_cell=ECP5_DISTRIBUTED,
    distributed_lut=6,
)

FAMILIES = (*_ECP5, _ICE40, _GOWIN, _NEXUS, _ANY)
"""All devices, family by family."""
