/* Goal: whoever reads the files of a node that runs is told so, whatever part of them it names. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <segment_log/disk.h>

#include "node_lock.h"

static char directory[] = "/tmp/raftmq-node-lock-XXXXXX", told[4096];
static const char *const inside[] = {"", "/groups", "/groups/1", "/groups/1/1.segment"};

static const char *path_of(const char *part)
{
    static char path[256];
    snprintf(path, sizeof(path), "%s%s", directory, part);
    return path;
}

static void make(void)
{
    cr_assert(mkdtemp(directory));
    cr_assert_eq(mkdir(path_of("/groups"), 0700), 0);
    cr_assert_eq(mkdir(path_of("/groups/1"), 0700), 0);
    close(open(path_of("/groups/1/1.segment"), O_CREAT | O_WRONLY, 0600));
}

static void clean(void)
{
    unlink(path_of("/groups/1/1.segment"));
    unlink(path_of("/LOCK"));
    rmdir(path_of("/groups/1"));
    rmdir(path_of("/groups"));
    rmdir(directory);
}

TestSuite(cli_node_lock, .init = make, .fini = clean);

static struct disk_file *lock_as_a_node(void)
{
    struct disk_file *lock = NULL;
    return disk_lock(disk_posix(), path_of("/LOCK"), &lock) == 0 ? lock : NULL;
}

Test(cli_node_lock, a_running_node_is_seen_from_every_path_in_its_directory)
{
    char real[4096];
    struct disk_file *lock = lock_as_a_node();
    cr_assert(lock);
    cr_assert(realpath(directory, real));
    for (size_t i = 0; i < 4; i++) {
        told[0] = '\0';
        cr_assert(node_lock_is_held(path_of(inside[i]), told, sizeof(told)), "%s", inside[i]);
        cr_assert_str_eq(told, real);
    }
    cr_assert_null(lock_as_a_node(), "it is held still");
    disk_close(lock);
}

Test(cli_node_lock, a_stopped_node_and_its_lock_are_left_alone)
{
    for (size_t i = 0; i < 4; i++) {
        cr_assert_not(node_lock_is_held(path_of(inside[i]), told, sizeof(told)), "no lock file");
    }
    cr_assert_neq(access(path_of("/LOCK"), F_OK), 0, "none is made");
    struct disk_file *lock = lock_as_a_node();
    cr_assert(lock);
    disk_close(lock);
    cr_assert_not(node_lock_is_held(directory, told, sizeof(told)));
    cr_assert_not(node_lock_is_held("/nothing/is/here", told, sizeof(told)));
}

static void *look_on(void *stop)
{
    while (!atomic_load((atomic_bool *)stop)) {
        (void)node_lock_is_held(directory, told, sizeof(told));
    }
    return NULL;
}

Test(cli_node_lock, a_node_can_start_in_the_very_moment_in_which_somebody_looks)
{
    pthread_t looker;
    static atomic_bool stop;
    uint32_t refused = 0;
    cr_assert_eq(pthread_create(&looker, NULL, look_on, &stop), 0);
    for (uint32_t i = 0; i < 20000; i++) {
        struct disk_file *lock = lock_as_a_node();
        if (lock) disk_close(lock);
        refused += !lock;
    }
    atomic_store(&stop, true);
    pthread_join(looker, NULL);
    cr_assert_eq(refused, 0);
}
