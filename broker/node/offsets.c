/* Consumer offsets of groups: commit on the leader (PROTOCOL P5), read anywhere behind a barrier. */
#include "offsets.h"

#include "barrier.h"
#include "base.h"
#include "group.h"
#include "request.h"
#include "turn.h"

#include <planted/planted.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define OFFSETS_LIST_MAX 1000u

static struct partition_commit commit_of(const struct node_request *request)
{
    return (struct partition_commit){
        .group = request->group.group,
        .offset = request->group.offset,
        .generation = request->group.generation,
        .metadata = request->group.metadata,
        .metadata_bytes = request->group.metadata_bytes,
        .durable = request->group.durable,
    };
}

/* What no state of the partition can change. True: refused. */
static bool refuse_malformed(struct node_request *request)
{
    const char *problem = meta_name_problem(request->group.group, strlen(request->group.group));
    if (problem) {
        request__finish(request, NODE_INVALID_NAME, "group name: %s", problem);
        return true;
    }
    const struct partition_commit commit = commit_of(request);
    uint8_t probe[8];
    if (partition_encode_offsets(&commit, 1, probe, sizeof(probe)) > 0) return false;
    request__finish(request, NODE_INVALID_ARGUMENT,
                    "metadata of at most %u bytes and an offset below 2^63 are allowed",
                    PARTITION_METADATA_BYTES_MAX);
    return true;
}

static bool is_beyond_end(const struct node_request *request, const struct group *group)
{
    return request->group.offset > group->partition.next_offset;
}

static bool is_one_group_too_many(const struct node_request *request, const struct group *group)
{
    struct partition_offset known;
    return partition_offsets_are_full(&group->partition) &&
           !partition_offset_get(&group->partition, request->group.group, &known);
}

static bool compares(const struct node_request *request, const struct group *group,
                     uint64_t *ret_offset)
{
    struct partition_offset current;
    const bool known = partition_offset_get(&group->partition, request->group.group, &current);
    *ret_offset = known ? current.offset : 0;
    return !request->group.has_if_offset || *ret_offset == request->group.if_offset;
}

static void refuse(struct node_request *request, const struct group *group)
{
    uint64_t offset = 0;
    if (is_beyond_end(request, group)) {
        request->ret_first_offset = base__first_offset(group);
        request->ret_next_offset = group->partition.next_offset;
        request__finish(request, NODE_OFFSET_OUT_OF_RANGE,
                        "offset %" PRIu64 " is beyond the end of the log, %" PRIu64,
                        request->group.offset, group->partition.next_offset);
    } else if (is_one_group_too_many(request, group)) {
        request__finish(request, NODE_OVERLOADED,
                        "this partition holds offsets of %" PRIu32
                        " groups and has no room for more; remove groups that are not used",
                        partition_offsets_count(&group->partition));
    } else if (!compares(request, group, &offset)) {
        request->ret_offset = offset;
        request__finish(request, NODE_STALE_GENERATION,
                        "the committed offset is %" PRIu64 ", not %" PRIu64
                        "; read it and try again",
                        offset, request->group.if_offset);
    } else {
        request__finish(request, NODE_STALE_GENERATION, "generation %" PRId64 " is over",
                        request->group.generation);
    }
}

void offsets__commit(struct node_request *request, struct group *group)
{
    if (refuse_malformed(request)) return;
    const struct partition_commit commit = commit_of(request);
    /* A comparison is made with what is applied: while a commit of this group is in flight it waits its turn. */
    if (request->group.has_if_offset &&
        partition_commits_in_flight(&group->partition, commit.group)) {
        request__park(request, group);
        return;
    }
    uint64_t offset = 0;
    if (is_beyond_end(request, group) || is_one_group_too_many(request, group) ||
        partition_commit_is_fenced(&group->partition, &commit) ||
        !compares(request, group, &offset)) {
        if (barrier__is_passed(request, group)) refuse(request, group);
        return;
    }
    if (partition_commit_is_noop(&group->partition, &commit)) {
        /* P5: nothing to append; it stands since the barrier, or was committed after it. */
        bool passed =
            PLANTED(P5_EQUAL_COMMIT_WITHOUT_BARRIER) || barrier__is_passed(request, group);
        if (passed) request__finish(request, NODE_OK, NULL);
        return;
    }
    if (request__refuse_full(request, group)) return;
    struct request_state *state = request_state(request);
    state->group = group;
    request__move(request, STAGE_QUEUED, &group->queued);
    node__dirty(group);
}

static void answer_one(struct node_request *request, struct group *group)
{
    struct partition_offset *offset = malloc(sizeof(*offset));
    if (!offset) abort();
    if (!partition_offset_get(&group->partition, request->group.group, offset)) {
        free(offset);
        request__finish(request, NODE_NO_OFFSET, "group \"%s\" has committed nothing here",
                        request->group.group);
        return;
    }
    request->ret_offsets = offset;
    request->ret_offsets_count = 1;
    request->ret_offset = offset->offset;
    request__finish(request, NODE_OK, NULL);
}

static void answer_list(struct node_request *request, struct group *group)
{
    /* A megabyte, of which few items are used and the others never touched. */
    struct partition_offset *offsets = malloc(OFFSETS_LIST_MAX * sizeof(*offsets));
    if (!offsets) abort();
    /* The name in the request, if any, is where the previous page ended. */
    request->ret_offsets_count =
        partition_offset_list(&group->partition, request->group.group, offsets, OFFSETS_LIST_MAX);
    request->ret_offsets = offsets;
    request__finish(request, NODE_OK, NULL);
}

void offsets__answer(struct node_request *request, struct group *group)
{
    request->ret_next_offset = group->partition.next_offset;
    request->ret_first_offset = base__first_offset(group);
    request->ret_high_watermark = group->partition.next_offset;
    if (request->type == NODE_REQUEST_GROUP_FETCH) {
        answer_one(request, group);
    } else {
        answer_list(request, group);
    }
}
