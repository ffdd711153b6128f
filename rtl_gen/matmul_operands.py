"""How the MATMUL sequencer steps through activation buffer and latent ring."""

from amaranth import *
from amaranth.lib import data
from amaranth.utils import exact_log2

from mla_hw.cycles.matmul_sequencer import REQUEST_LATENCY
from mla_hw.hardware import CoreConfig
from mla_hw.program.instructions import FIELDS
from rtl_gen.pipeline import delay

__all__ = ["mode_layout", "read_operands", "read_ring", "walk_layout"]

_ROW = FIELDS["target"].choices.index("row")


def mode_layout(config: CoreConfig) -> data.StructLayout:
    """Return the command's mode, one bit each."""
    modes = FIELDS["mode"].choices
    return data.StructLayout({
        mode: 1 for mode in modes if config.product_blocks or mode != "expand"
    })


def walk_layout() -> data.StructLayout:
    """Return the events of a cycle.

    ``setup``: a command begins; ``step``: a step is issued; ``key``: the RoPE part begins after
    it; ``tile``: it was the last one of a tile; ``free``: the command's blocks are not needed any
    more. Each of the last three comes with ``step``.
    """
    return data.StructLayout({"setup": 1, "step": 1, "key": 1, "tile": 1, "free": 1})


def read_operands(m: Module, config: CoreConfig, command, mode, walk, read) -> None:
    """Drive requests to the activation buffer.

    Parameters
    ----------
    m : Module
        Where the registers live.
    config : CoreConfig
    command : view of array_command_layout()
        From ``setup`` on.
    mode : view of mode_layout(config)
        Its mode.
    walk : view of walk_layout()
        Of the cycle of issue; requests follow it by ``REQUEST_LATENCY``.
    read : view of activation_read_layout(config)
        Output registers.
    """
    spread_bits, lane_bits = config.spread_bits, config.lane_bits
    is_project = mode.project
    walk = delay(m, walk, REQUEST_LATENCY, "operand_walk")
    # Several query rows are projected from the layout spread only.
    spread = is_project & ~command.source[0] if config.query_rows == 1 else is_project
    with m.If(walk.setup | walk.tile):
        m.d.sync += [
            read.single.eq(is_project),
            read.half.eq(Mux(is_project, command.source[1], mode.context)),
            read.lane.eq(Mux(spread, command.a[:spread_bits], command.a[:lane_bits])),
            read.address.eq(Mux(spread, command.a >> spread_bits, command.a >> lane_bits)),
        ]
    with m.Elif(walk.key):
        m.d.sync += [read.half.eq(1), read.address.eq(command.b >> lane_bits)]
    with m.Elif(walk.step):
        with m.If(spread & (read.lane != (1 << spread_bits) - 1)):
            m.d.sync += read.lane.eq(read.lane + 1)
        with m.Else():
            m.d.sync += read.address.eq(read.address + 1)
            with m.If(spread):
                m.d.sync += read.lane.eq(0)


def read_ring(m: Module, config: CoreConfig, command, mode, walk, read, filled, release) -> tuple:
    """Drive requests to the latent ring, wait for its blocks and free them.

    Parameters
    ----------
    m, config, command, mode
        As in :func:`read_operands`.
    walk : view of walk_layout()
        Of the cycle of issue; requests follow it by ``REQUEST_LATENCY``.
    read : view of ring_read_layout(config)
        Output registers.
    filled : Signal
        Number of complete blocks.
    release : Signal
        Output: number of blocks freed, from the cycle after ``free`` on, so that ``filled`` does
        not count them any more when the next command begins.

    Returns
    -------
    available : Value
        Whether the block of the next step is complete: a register, one cycle late.
    block : Value
        Number of that block.
    """
    by_column = mode.score
    # What the first part of a command is read from, and where it begins in a row.
    product = Value.cast(0)
    start_word, start_index = Value.cast(0), Value.cast(0)
    if config.product_blocks:
        by_column = by_column | (mode.expand & (command.target != _ROW))
        product = mode.project & command.product
        start_word = Mux(mode.expand, command.b >> exact_log2(config.columns), 0)
    if config.product_keys:
        product = product | mode.score | mode.context
        first_word, first_index = divmod(config.product_values, config.columns)
        start_word = Mux(mode.score, first_word, start_word)
        start_index = Mux(mode.score, first_index, 0)

    # With the issue: the block, and what decides when the next one begins.
    block = Signal(range(config.ring_blocks), name="block")
    base = Signal(range(config.ring_blocks), name="oldest_block")
    # Blocks of the tile up to the present one.
    blocks = Signal(range(config.ring_blocks + 1), name="tile_blocks", reset_less=True)
    index = Signal.like(read.index, name="index_in_block", reset_less=True)
    following = Signal.like(block, name="following_block")
    m.d.comb += following.eq(Mux(block == config.ring_blocks - 1, 0, block + 1))
    available = Signal(name="block_available")
    first_block = [block.eq(base), blocks.eq(1), available.eq(filled != 0)]
    next_block = [block.eq(following), blocks.eq(blocks + 1), available.eq(filled > blocks)]
    of_product, product_block = Signal(name="of_product"), Value.cast(0)
    if config.product_blocks:
        # Product rows begin at block 0, whatever the tile's blocks are.
        product_block = Signal(range(config.product_blocks), name="product_block", reset_less=True)
        first_block += [of_product.eq(product), product_block.eq(0)]
        next_block += [of_product.eq(product), product_block.eq(product_block + 1)]
    m.d.sync += available.eq(filled >= blocks)
    with m.If(walk.setup | (walk.tile & ~by_column)):
        m.d.sync += [*first_block, index.eq(start_index)]
    with m.Elif(walk.tile):
        m.d.sync += [*next_block, index.eq(start_index)]
    with m.Elif(walk.key):
        m.d.sync += [of_product.eq(0), index.eq(0)]
    with m.Elif(walk.step):
        m.d.sync += index.eq(index + 1)
        with m.If((index == config.columns - 1) & ~by_column):
            m.d.sync += next_block

    freeing, freed = Signal(name="freeing"), Signal.like(release, name="freed", reset_less=True)
    next_base = Signal.like(base, name="next_oldest_block", reset_less=True)
    m.d.sync += [freeing.eq(walk.free), freed.eq(blocks), next_base.eq(following)]
    m.d.comb += release.eq(Mux(freeing, freed, 0))
    with m.If(freeing):
        m.d.sync += base.eq(next_base)

    # With the request.
    m.d.sync += [
        read.column.eq(by_column),
        read.block.eq(Mux(of_product, product_block, block)),
        read.index.eq(index),
    ]
    if config.product_blocks:
        m.d.sync += read.product.eq(of_product)
    later = delay(m, walk, REQUEST_LATENCY, "ring_walk")
    with m.If(later.setup | (later.tile & by_column)):
        m.d.sync += read.word.eq(start_word)
    with m.Elif(later.key):
        m.d.sync += read.word.eq(config.latent_words)
    with m.Elif(later.tile | (later.step & by_column & (read.index == config.columns - 1))):
        m.d.sync += read.word.eq(read.word + 1)
    return available, block
