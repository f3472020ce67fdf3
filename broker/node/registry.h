/* What the leader of meta writes down of its own accord: nodes, and blocks of producer ids. */
#ifndef BROKER_NODE_REGISTRY_H
#define BROKER_NODE_REGISTRY_H

#include <stdbool.h>
#include <stdint.h>

struct meta_command;
struct meta_node;
struct node;
struct node_request;

/* From time to time, on the leader of meta. */
void registry__register_nodes(struct node *node);
/* Leader of meta: propose this META_NODE_SET, unless another one is under way; false: it is. replaces: the incarnation that
 * was registered when a new one was taken in; else 0. */
bool registry__set_node(struct node *node, const struct meta_node *wanted, uint64_t replaces,
                        bool founder);
/* Can what that node tells of itself be written down? */
bool registry__can_be_set(const struct meta_node *wanted);
/* On the leader of meta: a command of its own. done() frees the request, whose data is the node and whose group_id is given. */
void registry__propose(struct node *node, const struct meta_command *command, uint64_t group_id,
                       void (*done)(struct node_request *request));
/* The entry that takes a block of producer ids is applied. */
void registry__block_taken(struct node *node, uint64_t first);
/* On the leader of meta: an id of its block, which is taken first where none is left. */
void registry__producer_init(struct node_request *request);

#endif
