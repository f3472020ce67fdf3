/* CRC-32C (Castagnoli, reflected polynomial 0x82F63B78).
 *
 * The processor's instruction takes 8 bytes a step but answers only after 3 cycles, so three streams run beside each
 * other and are joined: crc(A B) = shift(crc(A), length of B) ^ crc(B), where shift() appends zero bytes. It is linear,
 * so four tables of 256 words do it for one fixed length. Without the instruction: slice-by-8.
 *
 * All tables are computed once, before main(), from the polynomial alone; afterwards nothing here changes, so any
 * thread may call. */
#include "crc32c.h"

#include <broker/record_batch.h>

#include <assert.h>
#include <string.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#define POLYNOMIAL 0x82F63B78u

/* Blocks of the three streams. 1024: the join (8 loads, twice) is under 3 % of 384 steps. 128: still pays at 384
 * bytes, the size of a small batch. */
#define BLOCK_LONG_BYTES  1024u
#define BLOCK_SHORT_BYTES 128u

struct crc32c_shift {
    uint32_t table[4][256];
};

static uint32_t slices[8][256];
static struct crc32c_shift shift_long;
static struct crc32c_shift shift_short;
static uint32_t (*update)(uint32_t crc, const uint8_t *data, size_t bytes);

/* ---- slice-by-8 ---------------------------------------------------------------------------------------- */

static uint32_t load_u32(const uint8_t *data)
{
    return (uint32_t)data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 |
           (uint32_t)data[3] << 24;
}

static uint32_t step_byte(uint32_t crc, uint8_t byte)
{
    return crc >> 8 ^ slices[0][(crc ^ byte) & 0xffu];
}

static uint32_t update_portable(uint32_t crc, const uint8_t *data, size_t bytes)
{
    for (; bytes >= 8; data += 8, bytes -= 8) {
        uint32_t low = crc ^ load_u32(data);
        uint32_t high = load_u32(data + 4);
        crc = slices[7][low & 0xffu] ^ slices[6][low >> 8 & 0xffu] ^ slices[5][low >> 16 & 0xffu] ^
              slices[4][low >> 24] ^ slices[3][high & 0xffu] ^ slices[2][high >> 8 & 0xffu] ^
              slices[1][high >> 16 & 0xffu] ^ slices[0][high >> 24];
    }
    for (; bytes > 0; data++, bytes--) {
        crc = step_byte(crc, *data);
    }
    return crc;
}

static bool is_usable_portable(void)
{
    return true;
}

/* ---- with the processor's instruction -------------------------------------------------------------------- */

#if defined(__x86_64__)
#define HARDWARE_TARGET     __attribute__((target("sse4.2")))
#define HARDWARE_NAME       "sse4.2"
#define step_u64(crc, word) ((uint32_t)_mm_crc32_u64((crc), (word)))
#define step_u8(crc, byte)  _mm_crc32_u8((crc), (byte))

static bool is_usable_hardware(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("sse4.2");
}
#elif defined(__aarch64__)
#define HARDWARE_TARGET
#define HARDWARE_NAME "armv8"

/* As assembly: <arm_acle.h> declares the intrinsics only when the whole file is compiled for a processor that has them. */
static uint32_t step_u64(uint32_t crc, uint64_t word)
{
    __asm__(".arch_extension crc\n\tcrc32cx %w0, %w0, %x1" : "+r"(crc) : "r"(word));
    return crc;
}

static uint32_t step_u8(uint32_t crc, uint8_t byte)
{
    __asm__(".arch_extension crc\n\tcrc32cb %w0, %w0, %w1" : "+r"(crc) : "r"(byte));
    return crc;
}

static bool is_usable_hardware(void)
{
    return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0;
}
#endif

#ifdef HARDWARE_NAME
static uint64_t load_u64(const uint8_t *data)
{
    uint64_t word;
    memcpy(&word, data, sizeof(word)); /* both processors are little endian */
    return word;
}

static uint32_t append_zeros(const struct crc32c_shift *shift, uint32_t crc)
{
    return shift->table[0][crc & 0xffu] ^ shift->table[1][crc >> 8 & 0xffu] ^
           shift->table[2][crc >> 16 & 0xffu] ^ shift->table[3][crc >> 24];
}

HARDWARE_TARGET static uint32_t update_three_blocks(uint32_t crc, const uint8_t *data,
                                                    size_t block_bytes,
                                                    const struct crc32c_shift *shift)
{
    uint32_t first = crc;
    uint32_t second = 0;
    uint32_t third = 0;
    for (size_t i = 0; i < block_bytes; i += 8) {
        first = step_u64(first, load_u64(data + i));
        second = step_u64(second, load_u64(data + block_bytes + i));
        third = step_u64(third, load_u64(data + 2 * block_bytes + i));
    }
    return append_zeros(shift, append_zeros(shift, first) ^ second) ^ third;
}

HARDWARE_TARGET static uint32_t update_hardware(uint32_t crc, const uint8_t *data, size_t bytes)
{
    for (; bytes >= 3 * BLOCK_LONG_BYTES; bytes -= 3 * BLOCK_LONG_BYTES) {
        crc = update_three_blocks(crc, data, BLOCK_LONG_BYTES, &shift_long);
        data += 3 * BLOCK_LONG_BYTES;
    }
    for (; bytes >= 3 * BLOCK_SHORT_BYTES; bytes -= 3 * BLOCK_SHORT_BYTES) {
        crc = update_three_blocks(crc, data, BLOCK_SHORT_BYTES, &shift_short);
        data += 3 * BLOCK_SHORT_BYTES;
    }
    for (; bytes >= 8; data += 8, bytes -= 8) {
        crc = step_u64(crc, load_u64(data));
    }
    for (; bytes > 0; data++, bytes--) {
        crc = step_u8(crc, *data);
    }
    return crc;
}
#endif

const struct crc32c_implementation crc32c__implementations[] = {
#ifdef HARDWARE_NAME
    {HARDWARE_NAME, is_usable_hardware, update_hardware},
#endif
    {"slice-by-8", is_usable_portable, update_portable},
};
const uint32_t crc32c__implementations_count =
    sizeof(crc32c__implementations) / sizeof(crc32c__implementations[0]);

/* ---- tables and choice -------------------------------------------------------------------------------------- */

static void make_slices(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++) {
            crc = crc & 1u ? crc >> 1 ^ POLYNOMIAL : crc >> 1;
        }
        slices[0][byte] = crc;
    }
    for (uint32_t slice = 1; slice < 8; slice++) {
        for (uint32_t byte = 0; byte < 256; byte++) {
            slices[slice][byte] = step_byte(slices[slice - 1][byte], 0);
        }
    }
}

static void make_shift(struct crc32c_shift *shift, size_t zero_bytes)
{
    for (uint32_t bit = 0; bit < 32; bit++) {
        uint32_t image = 1u << bit;
        for (size_t i = 0; i < zero_bytes; i++) {
            image = step_byte(image, 0);
        }
        for (uint32_t byte = 0; byte < 256; byte++) {
            if (byte >> bit % 8 & 1u) shift->table[bit / 8][byte] ^= image;
        }
    }
}

__attribute__((constructor)) static void prepare(void)
{
    make_slices();
    make_shift(&shift_long, BLOCK_LONG_BYTES);
    make_shift(&shift_short, BLOCK_SHORT_BYTES);
    for (uint32_t i = 0; !update; i++) {
        assert(i < crc32c__implementations_count);
        if (crc32c__implementations[i].is_usable()) update = crc32c__implementations[i].update;
    }
}

uint32_t crc32c(uint32_t crc, const void *data, size_t bytes)
{
    return ~update(~crc, data, bytes);
}
