// The system's zlib (Debian: zlib1g-dev). Its initialisers are macros, which Swift does not show; both are
// wrapped here for raw deflate data, which is what RFC 7692 puts into frames. Nothing of ours besides.
#ifndef HERALD_CZLIB_H
#define HERALD_CZLIB_H

#include <zlib.h>

// Window bits from 9 to 15: for 8, zlib refuses or takes 9, depending on its version.
static inline int czlib_deflate_init(z_stream *stream, int level, int window_bits, int memory_level, int strategy) {
    return deflateInit2(stream, level, Z_DEFLATED, -window_bits, memory_level, strategy);
}

static inline int czlib_inflate_init(z_stream *stream, int window_bits) {
    return inflateInit2(stream, -window_bits);
}

#endif
