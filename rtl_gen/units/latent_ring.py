"""Latent ring: cache rows that are fetched once and read by column and by row."""

from typing import Any

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from mla_hw.cycles.latent_ring import row_words
from mla_hw.cycles.simple_memory import MEMORY_READ_LATENCY
from mla_hw.hardware import CoreConfig
from mla_hw.program.instructions import ADDRESS_OFFSET_BITS
from rtl_gen.layouts import read_port_signature
from rtl_gen.pipeline import KEEP, delay
from rtl_gen.units.simple_memory import SimpleMemory
from rtl_gen.units.width_adapter import column_word_layout

__all__ = ["LatentRing", "product_write_layout", "ring_read_layout", "tile_layout"]

SCALE_BITS = 16
_BANKS_PER_ADDRESS = 4


def tile_layout() -> data.StructLayout:
    """Announcement of a tile: its number of cached tokens, at least 1."""
    return data.StructLayout({"tokens": 16})


def ring_read_layout(config: CoreConfig) -> data.StructLayout:
    """Read of C elements of a block.

    By column: channel ``word * C + index`` of all tokens, lane = token. By row: channels
    ``word * C`` and following of token ``index``, lane = channel. With ``product`` of the product
    rows instead of the ring.
    """
    return data.StructLayout({
        "column": 1,
        "block": range(max(config.ring_blocks, config.product_blocks)),
        "word": range(max(config.token_words, config.product_words)),
        "index": range(config.columns),
        **({"product": 1} if config.product_blocks else {}),
    })


def product_write_layout() -> data.StructLayout:
    """Write of an element of the product rows: ``row << product_bits | channel``."""
    return data.StructLayout({"en": 1, "element": ADDRESS_OFFSET_BITS, "data": signed(8)})


class LatentRing(wiring.Component):
    """Ring of blocks of C cached tokens, each a row of latents, RoPE key and scale.

    Element (token :py:`C*J + j`, channel :py:`C*K + k`) lies in bank :py:`(j + k) % C` at address
    :py:`(J*token_words + K)*C + j` (:func:`mla_hw.golden.latent_ring.place_latent`), so that
    neither a column nor a row of C elements meets in a bank. Rotators bring elements to banks and
    back.

    Beside it lie the product rows, where the core has some: no ring, written element by element
    (:func:`mla_hw.golden.latent_ring.place_product`), and read like the ring.

    Takes one word per cycle and answers one read per cycle. Latencies, and which word completes a
    block, are in :mod:`mla_hw.cycles.latent_ring`.

    Parameters
    ----------
    config : :class:`CoreConfig`
        Shape of the rows, ``columns`` and ``ring_blocks``.

    Members
    -------
    tile : :py:`In(stream.Signature(tile_layout()))`
        A tile begins: its first token starts a new block.
    i : :py:`In(stream.Signature(column_word_layout(config)))`
        The tile's rows as they lie in memory: per token its data words, one word with the scale,
        padding words. Taken only within a tile. There must be a free block for them.
    filled : :py:`Out(range(ring_blocks + 1))`
        Complete blocks that have not been released. The last block of a tile may be partial; its
        other lanes hold old data.
    release : :py:`In(range(ring_blocks + 1))`
        That many of the oldest blocks are free from the next cycle on.
    read : :py:`In(ring_read_layout(config))`
    b : :py:`Out(data.ArrayLayout(signed(8), columns))`
        What has been read.
    scale : :py:`In(read_port_signature(unsigned(16), ring_blocks * columns))`
        Read port: scale of token ``address % C`` of block ``address // C``.
    product : :py:`In(product_write_layout())`
        In cores with product rows: what is read ``PRODUCT_WRITE_LATENCY`` cycles later and after.
    """

    tile: stream.Interface
    i: stream.Interface
    filled: Signal
    release: Signal
    read: data.View
    b: data.View
    scale: Any
    product: Any

    def __init__(self, config: CoreConfig) -> None:
        self.config = config
        super().__init__({
            "tile": In(stream.Signature(tile_layout())),
            "i": In(stream.Signature(column_word_layout(config))),
            "filled": Out(range(config.ring_blocks + 1)),
            "release": In(range(config.ring_blocks + 1)),
            "read": In(ring_read_layout(config)),
            "b": Out(data.ArrayLayout(signed(8), config.columns)),
            "scale": In(
                read_port_signature(unsigned(SCALE_BITS), config.ring_blocks * config.columns)
            ),
            **({"product": In(product_write_layout())} if config.product_blocks else {}),
        })

    def elaborate(self, platform):
        m = Module()

        # No block is read while it is written.
        banks = []
        for bank in range(self.config.columns):
            banks.append(SimpleMemory(signed(8), self.config.ring_depth))
            m.submodules[f"bank_{bank}"] = banks[-1]
        m.submodules.scales = scales = SimpleMemory(
            unsigned(SCALE_BITS), self.config.ring_blocks * self.config.columns
        )
        wiring.connect(m, wiring.flipped(self.scale), scales.read)

        complete = self._write(m, [bank.w for bank in banks], scales.w)
        self._read(m, [bank.read for bank in banks], self._write_products(m))
        m.d.sync += self.filled.eq(self.filled + complete - self.release)

        return m

    def _write(self, m: Module, banks: list, scales) -> Signal:
        """Put each word where it belongs; return the pulse after which a block is complete."""
        config = self.config
        n_rows = row_words(config)
        active = Signal()
        tokens = Signal(16, reset_less=True)  # tokens of the tile behind the current one
        last_token = Signal()
        index = Signal(range(config.columns))  # token within the block
        next_index = Signal.like(index)
        word = Signal(range(n_rows))  # word within the row
        block = Signal(range(config.ring_blocks))
        base = Signal(range(config.ring_blocks * config.token_words))  # block * token_words
        line = Signal.like(base)  # base + word, for data words

        accept = active & self.i.valid
        row_end = Signal()
        block_end = last_token | (index == config.columns - 1)
        scale_word = word == config.token_words
        next_base = Signal.like(base)
        wrap = block == config.ring_blocks - 1
        m.d.comb += [
            next_base.eq(Mux(wrap, 0, base + config.token_words)),
            next_index.eq(index),
        ]
        m.d.sync += index.eq(next_index)

        with m.If(accept):
            m.d.sync += [
                word.eq(word + 1),
                row_end.eq(word == n_rows - 2),
                line.eq(line + 1),
            ]
            with m.If(row_end):
                m.d.comb += next_index.eq(index + 1)
                m.d.sync += [
                    word.eq(0),
                    line.eq(base),
                    tokens.eq(tokens - 1),
                    last_token.eq(tokens == 1),
                ]
                with m.If(block_end):
                    m.d.comb += next_index.eq(0)
                    m.d.sync += [
                        line.eq(next_base),
                        base.eq(next_base),
                        block.eq(Mux(wrap, 0, block + 1)),
                    ]
        # The next tile waits here and begins with the last word of the one before, so that no cycle
        # lies between two of them.
        waiting, following = Signal(), Signal.like(self.tile.payload, reset_less=True)
        begin = Signal()
        m.d.comb += [
            self.i.ready.eq(active),
            self.tile.ready.eq(~waiting),
            begin.eq(~active | (accept & row_end & last_token)),
        ]
        with m.If(~waiting):
            m.d.sync += [waiting.eq(self.tile.valid), following.eq(self.tile.payload)]
        with m.Elif(begin):
            m.d.sync += waiting.eq(0)
        with m.If(begin):
            m.d.sync += [
                active.eq(waiting),
                tokens.eq(following.tokens - 1),
                last_token.eq(following.tokens == 1),
            ]

        # Cycles 1 and 2: turn, first by the coarse bits. Lane k belongs to bank (index + k) mod C.
        byte_lanes = self.i.payload.as_value()
        rotated = Signal.like(byte_lanes, reset_less=True)
        address = Signal(range(config.ring_depth), reset_less=True)
        data_en, scale_en, complete = Signal(), Signal(), Signal()
        fine = len(index) // 2
        near_index = self._copies(m, next_index, "index")
        near_fine = self._copies(m, index[:fine], "fine_index")
        m.d.sync += [
            rotated.eq(_rotate(byte_lanes, [copy[fine:] for copy in near_index], -(8 << fine))),
            address.eq(Cat(index, line)),
            data_en.eq(accept & (word < config.token_words)),
            scales.address.eq(Cat(index, block)),
            scales.data.eq(byte_lanes[:SCALE_BITS]),
            scale_en.eq(accept & scale_word),
            complete.eq(accept & scale_word & block_end),
        ]
        m.d.comb += scales.en.eq(scale_en)

        turned = Signal.like(rotated, reset_less=True)
        m.d.sync += turned.eq(_rotate(rotated, near_fine, -8))

        # Cycle 2: write. The banks lie far apart, so that only a few of them share a register.
        for bank, w_port in enumerate(banks):
            if bank % _BANKS_PER_ADDRESS == 0:
                name = f"bank_{bank}"
                near = Signal.like(address, name=f"{name}_address", attrs=KEEP, reset_less=True)
                near_en = Signal(name=f"{name}_en", attrs=KEEP)
                m.d.sync += [near.eq(address), near_en.eq(data_en)]
            m.d.comb += [
                w_port.en.eq(near_en),
                w_port.address.eq(near),
                w_port.data.eq(turned.word_select(bank, 8)),
            ]
        written = Signal()
        m.d.sync += written.eq(complete)
        return written

    def _write_products(self, m: Module) -> list:
        """Put an element where it belongs; return the read ports of the product rows' banks."""
        config = self.config
        if not config.product_blocks:
            return []
        column_bits = exact_log2(config.columns)
        channel, row = self.product.element[: config.product_bits], self.product.element
        row = row[config.product_bits :][
            : (config.product_blocks * config.columns - 1).bit_length()
        ]
        index, offset = row[:column_bits], channel[:column_bits]
        bank = Signal(column_bits, name="product_bank", reset_less=True)
        address = Signal(range(config.product_depth), name="product_address", reset_less=True)
        value = Signal(signed(8), name="product_data", reset_less=True)
        en = Signal(name="product_en")
        m.d.sync += [
            en.eq(self.product.en),
            value.eq(self.product.data),
            bank.eq(index + offset),
            address.eq(Cat(index, channel[column_bits:], row[column_bits:])),
        ]
        ports = []
        for number in range(config.columns):
            m.submodules[f"product_{number}"] = storage = SimpleMemory(
                signed(8), config.product_depth
            )
            m.d.comb += [
                storage.w.en.eq(en & (bank == number)),
                storage.w.address.eq(address),
                storage.w.data.eq(value),
            ]
            ports.append(storage.read)
        return ports

    def _read(self, m: Module, banks: list, products: list) -> None:
        """Read C banks and turn the lanes back."""
        config = self.config
        index = self.read.index
        # Cycle 0: by column, bank b holds token b - index. A table costs less than a product.
        bases = Array(block * config.token_words for block in range(config.ring_blocks))
        line = Signal(range(config.ring_blocks * config.token_words))
        m.d.comb += line.eq(bases[self.read.block] + self.read.word)
        if products:
            product_line = Signal(
                range(config.product_blocks * config.product_words), reset_less=True
            )
            word_bits = exact_log2(config.product_words)
            m.d.sync += product_line.eq(Cat(self.read.word[:word_bits], self.read.block))
        for bank, r_port in enumerate(banks):
            low = Signal(exact_log2(config.columns), name=f"low_{bank}", reset_less=True)
            m.d.sync += low.eq(Mux(self.read.column, bank - index, index))
            if bank % _BANKS_PER_ADDRESS == 0:
                near = Signal.like(line, name=f"bank_{bank}_line", attrs=KEEP, reset_less=True)
                m.d.sync += near.eq(line)
            m.d.comb += r_port.address.eq(Cat(low, near))
            if products:
                m.d.comb += products[bank].address.eq(Cat(low, product_line))

        # Cycles 1 and 2: memory. Cycle 3: from wherever the banks are. Cycles 4 and 5: lane i is in
        # bank (index + i) mod C, by column and by row; first the coarse bits of the rotation, then
        # the fine ones.
        turn = delay(m, index, 1 + MEMORY_READ_LATENCY, "turn")
        fine = len(turn) // 2
        near_turn = self._copies(m, turn, "turn")
        near_fine = self._copies(m, near_turn[0][:fine], "fine_turn")
        coarse = Signal(8 * config.columns, reset_less=True)
        lanes = Signal.like(coarse, reset_less=True)
        banked: Value = Cat(port.data for port in banks)
        if products:
            chosen = delay(m, self.read.product, 1 + MEMORY_READ_LATENCY, "is_product")
            banked = Mux(chosen, Cat(port.data for port in products), banked)
        held = delay(m, banked, 1, "held")
        m.d.sync += [
            coarse.eq(_rotate(held, [copy[fine:] for copy in near_turn], 8 << fine)),
            lanes.eq(_rotate(coarse, near_fine, 8)),
        ]
        m.d.comb += self.b.as_value().eq(lanes)

    def _copies(self, m: Module, value: Value, name: str) -> list:
        """Return registers of the value, one for some neighbouring lanes, which lie far apart."""
        count = -(-self.config.columns // _BANKS_PER_ADDRESS)
        copies = [
            Signal(len(value), name=f"near_{name}_{number}", attrs=KEEP, reset_less=True)
            for number in range(count)
        ]
        m.d.sync += [copy.eq(value) for copy in copies]
        return copies


def _rotate(lanes: Value, amounts: list, step: int) -> Value:
    """Rotate right by ``amount * step`` bits; each of the copies of the amount turns some lanes."""
    parts = []
    width = 8 * _BANKS_PER_ADDRESS
    for number, amount in enumerate(amounts):
        part = lanes
        for bit in range(len(amount)):
            part = Mux(amount[bit], part.rotate_right(step << bit), part)
        parts.append(part[width * number : width * (number + 1)])
    return Cat(parts)
