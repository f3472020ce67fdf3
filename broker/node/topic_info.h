/* What a client is told about topics. */
#ifndef BROKER_NODE_TOPIC_INFO_H
#define BROKER_NODE_TOPIC_INFO_H

struct meta_topic;
struct node;
struct node_request;
struct node_topic_info;

/* Behind a barrier on meta: one topic, or all. */
void topic_info__answer(struct node_request *request);
/* Of one topic, malloc'ed; the request owns it. */
struct node_topic_info *topic_info__make(struct node *node, const struct meta_topic *topic);

#endif
