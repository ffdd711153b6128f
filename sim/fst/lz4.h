// The part of LZ4's interface that Verilator's FST writer uses, so that --waves needs no library.
// Output is the LZ4 block format: sequences of literals and of one earlier match each.
#ifndef MLA_HW_LZ4_H
#define MLA_HW_LZ4_H

#include <cstdint>
#include <cstring>
#include <vector>

inline int LZ4_compressBound(int size) { return size + size / 255 + 16; }

namespace mla_hw {

// Lengths from 15 on continue in bytes of 255, ended by a smaller one.
inline uint8_t* put_length(uint8_t* out, int length) {
    for (length -= 15; length >= 255; length -= 255) *out++ = 255;
    *out++ = static_cast<uint8_t>(length);
    return out;
}

// Literals, then a match of `match` bytes `distance` back; match 0 ends the block.
inline uint8_t* put_sequence(uint8_t* out, const uint8_t* literals, int count, int distance,
                             int match) {
    const int more = match - 4;
    uint8_t* token = out++;
    *token = static_cast<uint8_t>((count < 15 ? count : 15) << 4);
    if (count >= 15) out = put_length(out, count);
    if (count) std::memcpy(out, literals, count);
    out += count;
    if (match) {
        *out++ = static_cast<uint8_t>(distance);
        *out++ = static_cast<uint8_t>(distance >> 8);
        *token |= static_cast<uint8_t>(more < 15 ? more : 15);
        if (more >= 15) out = put_length(out, more);
    }
    return out;
}

}  // namespace mla_hw

inline int LZ4_compress_default(const char* source, char* target, int size, int capacity) {
    if (capacity < LZ4_compressBound(size)) return 0;
    const uint8_t* const in = reinterpret_cast<const uint8_t*>(source);
    uint8_t* out = reinterpret_cast<uint8_t*>(target);
    // The format wants the last match to begin 12 bytes before the end and to end 5 before it.
    const int last_start = size - 12, last_end = size - 5, hash_bits = 13;
    std::vector<int> seen(1 << hash_bits, -1);
    int literals = 0, at = 0;
    while (at <= last_start) {
        uint32_t word, before;
        std::memcpy(&word, in + at, 4);
        int& entry = seen[(word * 2654435761u) >> (32 - hash_bits)];
        const int candidate = entry;
        entry = at;
        if (candidate >= 0 && at - candidate < 65536) {
            std::memcpy(&before, in + candidate, 4);
            if (word == before) {
                int length = 4;
                while (at + length < last_end && in[candidate + length] == in[at + length]) ++length;
                out = mla_hw::put_sequence(out, in + literals, at - literals, at - candidate, length);
                literals = at += length;
                continue;
            }
        }
        ++at;
    }
    out = mla_hw::put_sequence(out, in + literals, size - literals, 0, 0);
    return static_cast<int>(out - reinterpret_cast<uint8_t*>(target));
}

#endif
