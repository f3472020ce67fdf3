/* Goal: the one checksum is XXH3-64, whole, seeded and in parts. */
#include <segment_log/checksum.h>

#include <criterion/criterion.h>
#include <string.h>

Test(segment_log_checksum, gives_the_published_values_of_xxh3)
{
    cr_assert_eq(checksum64("", 0), 0x2d06800538d394c2u);
    cr_assert_eq(checksum64("abc", 3), 0x78af5f94892f3950u);
}

Test(segment_log_checksum, parts_hash_like_their_concatenation)
{
    uint8_t bytes[1000];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(i * 31 + (i >> 3));
    }
    for (size_t cut = 0; cut <= sizeof bytes; cut += 37) {
        const struct iovec parts[] = {{bytes, cut}, {NULL, 0}, {bytes + cut, sizeof bytes - cut}};
        cr_assert_eq(checksum64_parts(parts, 3, 99), checksum64_seeded(bytes, sizeof bytes, 99));
        cr_assert_eq(checksum64_parts(parts, 3, 0), checksum64(bytes, sizeof bytes));
    }
}

Test(segment_log_checksum, every_cluster_and_group_has_a_seed_of_its_own)
{
    struct cluster_id cluster = {{0}}, other = {{0}};
    other.bytes[15] = 1;
    uint8_t named[24] = {0};
    named[16] = 5; /* the group, little endian, behind the cluster */
    cr_assert_eq(checksum64_group(&cluster, 5), checksum64(named, sizeof named));
    cr_assert_neq(checksum64_group(&cluster, 5), checksum64_group(&cluster, 6));
    cr_assert_neq(checksum64_group(&cluster, 5), checksum64_group(&other, 5));
}
