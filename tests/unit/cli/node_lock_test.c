/* Goal: whoever reads the files of a node that runs is told so, whatever part of them it names. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

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

Test(cli_node_lock, a_running_node_is_seen_from_every_path_in_its_directory)
{
    char real[4096];
    const int fd = open(path_of("/LOCK"), O_CREAT | O_RDWR, 0600);
    cr_assert_geq(fd, 0);
    cr_assert_eq(flock(fd, LOCK_EX | LOCK_NB), 0);
    cr_assert(realpath(directory, real));
    for (size_t i = 0; i < 4; i++) {
        told[0] = '\0';
        cr_assert(node_lock_is_held(path_of(inside[i]), told, sizeof(told)), "%s", inside[i]);
        cr_assert_str_eq(told, real);
    }
    close(fd);
}

Test(cli_node_lock, a_stopped_node_and_its_lock_are_left_alone)
{
    for (size_t i = 0; i < 4; i++) {
        cr_assert_not(node_lock_is_held(path_of(inside[i]), told, sizeof(told)), "no lock file");
    }
    cr_assert_neq(access(path_of("/LOCK"), F_OK), 0, "none is made");
    const int fd = open(path_of("/LOCK"), O_CREAT | O_RDWR, 0600);
    cr_assert_not(node_lock_is_held(directory, told, sizeof(told)));
    cr_assert_eq(flock(fd, LOCK_EX | LOCK_NB), 0, "a node can be started behind it");
    close(fd);
    cr_assert_not(node_lock_is_held("/nothing/is/here", told, sizeof(told)));
}
