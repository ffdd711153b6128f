"""Names in an FST file: what a wave viewer finds in it."""

import gzip
import struct

__all__ = ["signal_names"]

_HIERARCHY_GZIP, _HIERARCHY_LZ4 = 4, 6
_ATTRIBUTE, _ATTRIBUTE_END, _SCOPE, _UPSCOPE = 252, 253, 254, 255


def signal_names(content):
    """Return the hierarchical names of all signals."""
    return set(_walk(_hierarchy(content)))


def _hierarchy(content):
    position = 0
    while position < len(content):
        kind, length = struct.unpack_from(">BQ", content, position)
        block = content[position + 17 : position + 1 + length]
        if kind == _HIERARCHY_LZ4:
            return _decompress(block)
        if kind == _HIERARCHY_GZIP:
            return gzip.decompress(block)
        position += 1 + length
    raise AssertionError("the file has no hierarchy")


def _decompress(block):
    out, position = bytearray(), 0

    def length(base):
        nonlocal position
        if base == 15:
            while True:
                more = block[position]
                position += 1
                base += more
                if more < 255:
                    break
        return base

    while True:
        token = block[position]
        position += 1
        literals = length(token >> 4)
        out += block[position : position + literals]
        position += literals
        if position == len(block):
            return bytes(out)
        distance = int.from_bytes(block[position : position + 2], "little")
        position += 2
        for _ in range(length(token & 15) + 4):
            out.append(out[-distance])


def _walk(data):
    scopes, position = [], 0

    def text():
        nonlocal position
        end = data.index(0, position)
        value, position = data[position:end].decode(), end + 1
        return value

    def skip_number():
        nonlocal position
        while data[position] & 0x80:
            position += 1
        position += 1

    while position < len(data):
        tag = data[position]
        if tag == _SCOPE:
            position += 2
            scopes.append(text())
            text()
        elif tag == _UPSCOPE:
            position += 1
            scopes.pop()
        elif tag == _ATTRIBUTE:
            position += 3
            text()
            skip_number()
        elif tag == _ATTRIBUTE_END:
            position += 1
        else:
            position += 2
            yield ".".join([*scopes, text()])
            skip_number()
            skip_number()
