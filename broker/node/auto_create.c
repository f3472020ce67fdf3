/* A produce to a topic that is not there creates it (options.auto_create_topics). Those that come meanwhile wait for the same
 * command: a thousand first messages are one topic, not a thousand entries in meta. */
#include "auto_create.h"

#include "dispatch.h"
#include "internal.h"
#include "list.h"
#include "request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct auto_create {
    struct node_request request; /* first member: freed by its address, also by node_destroy() */
    char name[META_TOPIC_NAME_BYTES_MAX + 1];
    struct list_link link;    /* node->auto_creates */
    struct list_link waiting; /* STAGE_TOPIC: the produces */
};

static void finish_one(struct node_request *parent, const struct node_request *child)
{
    struct request_state *state = request_state(parent);
    if (child->status == NODE_OK) {
        /* It is applied where it was created, maybe not here: the next miss asks anew. */
        state->meta_checked = false;
        request__dispatch(parent);
        return;
    }
    parent->retry_after_ms = child->retry_after_ms;
    /* Of the topic nobody knows; of the message it is certain that it was not stored. */
    const enum node_status status =
        child->status == NODE_OUTCOME_UNKNOWN ? NODE_NO_LEADER : child->status;
    request__finish(parent, status, "the topic could not be created: %.200s",
                    child->detail[0] ? child->detail : node_status_text(child->status));
}

static void created(struct node_request *child)
{
    struct auto_create *create = (struct auto_create *)child;
    struct list_link waiting;
    list_remove(&create->link);
    list_init(&waiting);
    list_splice_back(&waiting, &create->waiting);
    struct list_link *link;
    while ((link = list_pop_front(&waiting))) {
        finish_one(request_of_state(list_entry(link, struct request_state, stage_link)), child);
    }
    node_topics_free(child->ret_topics, child->ret_topics_count);
    free(create);
}

static struct auto_create *find(struct node *node, const char *name)
{
    struct list_link *link;
    for (link = node->auto_creates.next; link != &node->auto_creates; link = link->next) {
        struct auto_create *create = list_entry(link, struct auto_create, link);
        if (strcmp(create->name, name) == 0) return create;
    }
    return NULL;
}

static struct auto_create *start(struct node *node, const char *name)
{
    struct auto_create *create = calloc(1, sizeof(*create));
    if (!create) abort();
    list_init(&create->waiting);
    list_push_back(&node->auto_creates, &create->link);
    snprintf(create->name, sizeof(create->name), "%s", name);
    create->request.type = NODE_REQUEST_TOPIC_CREATE;
    create->request.topic = create->name;
    create->request.create.settings = (struct meta_settings){
        .message_bytes_max = 1024u * 1024u, .retention_ms = -1, .retention_bytes = -1};
    create->request.create.partitions_count = 1;
    create->request.done = created;
    node_submit(node, &create->request);
    request_state(&create->request)->owned = true;
    return create;
}

void auto_create__wait(struct node_request *request)
{
    struct node *node = request_state(request)->node;
    const char *problem = meta_name_problem(request->topic, strlen(request->topic));
    if (problem) {
        request__finish(request, NODE_INVALID_NAME, "topic name: %s", problem);
        return;
    }
    struct auto_create *create = find(node, request->topic);
    if (!create) create = start(node, request->topic);
    request__move(request, STAGE_TOPIC, &create->waiting);
}
