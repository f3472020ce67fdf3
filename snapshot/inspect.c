#include <snapshot/inspect.h>

#include "format.h"

#include <stdio.h>

static void inspect_header(const struct snapshot_header *header, const struct inspect_sink *sink)
{
    sink->begin(sink->data, "header", false);
    sink->text(sink->data, "kind", header->kind == SNAPSHOT_BASE ? "base" : "checkpoint");
    inspect_bytes(sink, "cluster", header->cluster.bytes, sizeof header->cluster.bytes);
    sink->number(sink->data, "group", header->group);
    inspect_point(sink, &header->point);
    sink->number(sink->data, "log_start_offset", header->log_start_offset);
    sink->number(sink->data, "configuration_index", header->configuration_index);
    inspect_bytes(sink, "configuration", header->configuration, header->configuration_bytes);
    sink->end(sink->data);
}

static bool tell_pair(void *data, struct tree_slice key, struct tree_slice value)
{
    const struct inspect_sink *sink = data;
    sink->begin(sink->data, NULL, false);
    inspect_bytes(sink, "key", key.data, key.bytes);
    sink->number(sink->data, "value_bytes", value.bytes);
    inspect_bytes(sink, "value", value.data, value.bytes);
    sink->end(sink->data);
    return true;
}

void snapshot_inspect(struct disk *disk, const char *path, bool with_pairs,
                      const struct inspect_sink *sink)
{
    struct snapshot_header header;
    struct segment_log_problem problem = {0};
    struct tree *state = NULL;
    uint64_t hash = 0;
    /* The header first: it is shown also when what follows is damaged. */
    if (snapshot__read_header(disk, path, &header, &problem) == SNAPSHOT_OK) {
        inspect_header(&header, sink);
    }
    if (snapshot__read(disk, path, false, &header, &state, &hash, &problem) != SNAPSHOT_OK) {
        sink->problem(sink->data, problem.pos, problem.reason);
        return;
    }
    inspect_hash(sink, "hash", hash);
    sink->number(sink->data, "pairs", tree_count(state));
    if (with_pairs) {
        const struct tree_slice all = {0};
        sink->begin(sink->data, "state", true);
        tree_visit(state, all, all, tell_pair, (void *)(uintptr_t)sink);
        sink->end(sink->data);
    }
    tree_unref(state);
}
