"""Random bursts, and what they do to a memory."""

from mla_hw.hardware import BURST_BEATS

__all__ = ["apply_writes", "random_reads", "random_writes", "words_at"]


def _burst(rng, first, last, port_bytes):
    """Draw a burst within [first, last) that crosses no multiple of BURST_BEATS beats."""
    block = port_bytes * BURST_BEATS
    start = int(rng.integers(BURST_BEATS))
    beats = int(rng.integers(1, BURST_BEATS - start + 1))
    return int(rng.integers(first // block, last // block)) * block + start * port_bytes, beats


def random_reads(rng, count, *, first, last, port_bytes):
    return [_burst(rng, first, last, port_bytes) for _ in range(count)]


def random_writes(rng, count, *, first, last, port_bytes, whole=False):
    """Draw bursts with random data; half of the beats write all their bytes, or all do."""

    def beat():
        everything = whole or rng.random() < 0.5
        strobes = b"\xff" * port_bytes if everything else rng.bytes(port_bytes)
        mask = int.from_bytes(strobes, "little") & (1 << port_bytes) - 1
        return int.from_bytes(rng.bytes(port_bytes), "little"), mask

    bursts = (_burst(rng, first, last, port_bytes) for _ in range(count))
    return [(address, [beat() for _ in range(beats)]) for address, beats in bursts]


def apply_writes(content, writes, port_bytes):
    """Write bursts into a bytearray."""
    for address, beats in writes:
        for index, (data, strobes) in enumerate(beats):
            for lane, value in enumerate(data.to_bytes(port_bytes, "little")):
                if strobes >> lane & 1:
                    content[address + index * port_bytes + lane] = value


def words_at(content, reads, port_bytes):
    """Return the words that the bursts read, by burst."""
    return [
        [
            int.from_bytes(content[start : start + port_bytes], "little")
            for start in range(address, address + beats * port_bytes, port_bytes)
        ]
        for address, beats in reads
    ]
