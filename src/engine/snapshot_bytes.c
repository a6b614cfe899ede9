/* snapshot_bytes.c - see snapshot_bytes.h. */
#include "engine/snapshot_bytes.h"

#include <string.h>

/* ---- checksum ---- */

/* Four bits at a time: a table of 16, and speed that a file's checksum needs. */
uint32_t swg__crc32c(uint32_t crc, const void *bytes, size_t length) {
    static const uint32_t table[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
        0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
        0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };
    const unsigned char *at = bytes;
    crc = ~crc;
    for (size_t i = 0; i < length; i++) {
        crc ^= at[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

/* ---- writing ---- */

bool swg__write_flush(struct swg__writer *w) {
    if (!w->refused && w->fill > 0)
        w->refused = !w->sink(w->arg, w->bytes, w->fill);
    w->fill = 0;
    return !w->refused;
}

void swg__write(struct swg__writer *w, const void *bytes, size_t length) {
    const unsigned char *at = bytes;
    w->crc = swg__crc32c(w->crc, bytes, length);
    while (length > 0) {
        size_t room = sizeof(w->bytes) - w->fill, n = length < room ? length : room;
        memcpy(w->bytes + w->fill, at, n);
        w->fill += n;
        at += n;
        length -= n;
        if (w->fill == sizeof(w->bytes))
            swg__write_flush(w);
    }
}

static void write_number(struct swg__writer *w, uint64_t v, size_t length) {
    unsigned char bytes[8];
    for (size_t i = 0; i < length; i++)
        bytes[i] = (unsigned char)(v >> (8 * i));
    swg__write(w, bytes, length);
}

void swg__write_8(struct swg__writer *w, uint8_t v) {
    write_number(w, v, 1);
}
void swg__write_16(struct swg__writer *w, uint16_t v) {
    write_number(w, v, 2);
}
void swg__write_32(struct swg__writer *w, uint32_t v) {
    write_number(w, v, 4);
}
void swg__write_64(struct swg__writer *w, uint64_t v) {
    write_number(w, v, 8);
}

/* ---- reading ---- */

const void *swg__read(struct swg__reader *r, size_t length) {
    if (r->bad || length > r->left) {
        r->bad = true;
        return NULL;
    }
    const unsigned char *at = r->at;
    r->at += length;
    r->left -= length;
    return at;
}

static uint64_t read_number(struct swg__reader *r, size_t length) {
    const unsigned char *at = swg__read(r, length);
    uint64_t v = 0;
    for (size_t i = 0; at && i < length; i++)
        v |= (uint64_t)at[i] << (8 * i);
    return v;
}

uint8_t swg__read_8(struct swg__reader *r) {
    return (uint8_t)read_number(r, 1);
}
uint16_t swg__read_16(struct swg__reader *r) {
    return (uint16_t)read_number(r, 2);
}
uint32_t swg__read_32(struct swg__reader *r) {
    return (uint32_t)read_number(r, 4);
}
uint64_t swg__read_64(struct swg__reader *r) {
    return read_number(r, 8);
}
