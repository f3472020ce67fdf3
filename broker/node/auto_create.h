/* A produce to a topic that is not there creates it. */
#ifndef BROKER_NODE_AUTO_CREATE_H
#define BROKER_NODE_AUTO_CREATE_H

struct node_request;

/* A produce to a missing topic: it goes on when the topic is there. */
void auto_create__wait(struct node_request *request);

#endif
