// The part of zlib's interface that Verilator's FST writer uses, so that --waves needs no library.
// Output is the zlib format with stored blocks: correct, not smaller.
#ifndef MLA_HW_ZLIB_H
#define MLA_HW_ZLIB_H

#include <cstdint>
#include <cstring>

typedef unsigned char Bytef;
typedef unsigned long uLong;
typedef unsigned long uLongf;
const int Z_OK = 0;
const int Z_BUF_ERROR = -5;

inline uLong compressBound(uLong size) { return size + 5 * (size / 65535 + 1) + 6; }

inline int compress2(Bytef* target, uLongf* target_size, const Bytef* source, uLong size, int) {
    if (*target_size < compressBound(size)) return Z_BUF_ERROR;
    Bytef* out = target;
    *out++ = 0x78;  // deflate, window of 32 KiB
    *out++ = 0x01;
    uint32_t a = 1, b = 0;  // Adler-32
    uLong at = 0;
    do {
        const uLong left = size - at, length = left < 65535 ? left : 65535;
        *out++ = left == length;  // last block
        *out++ = static_cast<Bytef>(length);
        *out++ = static_cast<Bytef>(length >> 8);
        *out++ = static_cast<Bytef>(~length);
        *out++ = static_cast<Bytef>(~length >> 8);
        if (length) std::memcpy(out, source + at, length);
        for (uLong i = 0; i < length; ++i) {
            a = (a + source[at + i]) % 65521;
            b = (b + a) % 65521;
        }
        out += length;
        at += length;
    } while (at < size);
    const uint32_t check = b << 16 | a;
    for (int shift = 24; shift >= 0; shift -= 8) *out++ = static_cast<Bytef>(check >> shift);
    *target_size = out - target;
    return Z_OK;
}

#endif
