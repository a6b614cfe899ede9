/* snapshot_bytes.h - numbers to bytes and back, little-endian, for snapshots.
 *
 * The writer collects small pieces for the sink and keeps the checksum of the
 * frame. The reader never reads past its end: then it is `bad`, and everything
 * it gives is 0. Threading: the owner's. */
#ifndef SWG_ENGINE_SNAPSHOT_BYTES_H
#define SWG_ENGINE_SNAPSHOT_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <switchgear/snapshot.h>

struct swg__writer {
    swg_snapshot_sink *sink;
    void *arg;
    bool refused; /* by the sink: nothing more is given to it */
    uint32_t crc;
    size_t fill;
    unsigned char bytes[512];
};

void swg__write(struct swg__writer *, const void *bytes, size_t length);
void swg__write_8(struct swg__writer *, uint8_t);
void swg__write_16(struct swg__writer *, uint16_t);
void swg__write_32(struct swg__writer *, uint32_t);
void swg__write_64(struct swg__writer *, uint64_t);
/* Gives to the sink what it does not have yet; false: it refused. */
bool swg__write_flush(struct swg__writer *);

struct swg__reader {
    const unsigned char *at;
    size_t left;
    bool bad;
};

const void *swg__read(struct swg__reader *, size_t length);
uint8_t swg__read_8(struct swg__reader *);
uint16_t swg__read_16(struct swg__reader *);
uint32_t swg__read_32(struct swg__reader *);
uint64_t swg__read_64(struct swg__reader *);

/* CRC-32C (Castagnoli), of more bytes after those that gave `crc`; 0 at first. */
uint32_t swg__crc32c(uint32_t crc, const void *bytes, size_t length);

#endif
