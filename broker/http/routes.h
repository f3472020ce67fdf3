#ifndef BROKER_HTTP_ROUTES_H
#define BROKER_HTTP_ROUTES_H

#include "exchange.h"

/* Set exchange->route and arguments from method and path. false: no such endpoint, method or name; answered. */
bool http__routes_match(struct http_exchange *exchange);
/* The JSON index of all endpoints (GET /). */
void http__routes_index(struct http_exchange *exchange);

void http__topics_list(struct http_exchange *exchange);
void http__topics_get(struct http_exchange *exchange);
void http__topics_create(struct http_exchange *exchange);
void http__topics_delete(struct http_exchange *exchange);
void http__topics_set(struct http_exchange *exchange);
void http__topics_partition(struct http_exchange *exchange);
void http__produce(struct http_exchange *exchange);
void http__producers_create(struct http_exchange *exchange);
void http__fetch(struct http_exchange *exchange);
void http__fetch_message(struct http_exchange *exchange);
void http__groups_list(struct http_exchange *exchange);
void http__groups_offsets(struct http_exchange *exchange);
void http__groups_get(struct http_exchange *exchange);
void http__groups_put(struct http_exchange *exchange);
void http__membership_add(struct http_exchange *exchange);
void http__membership_remove(struct http_exchange *exchange);
void http__membership_replace(struct http_exchange *exchange);
void http__membership_place(struct http_exchange *exchange);
void http__membership_changes(struct http_exchange *exchange);
void http__membership_transfer(struct http_exchange *exchange);
void http__status_cluster(struct http_exchange *exchange);
void http__status_livez(struct http_exchange *exchange);
void http__status_readyz(struct http_exchange *exchange);
void http__status_metrics(struct http_exchange *exchange);
void http__scrub_begin(struct http_exchange *exchange);
void http__scrub_get(struct http_exchange *exchange);
void http__status_version(struct http_exchange *exchange);

#endif
