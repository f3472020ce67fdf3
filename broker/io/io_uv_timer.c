/* Timers and posts.
 *
 * libuv's own timers count in whole milliseconds, too coarse to batch writes by; ours wait on a timerfd, which is set
 * to the soonest deadline before the loop blocks. The alarm is moved only when it would come too late: a timer that is
 * restarted again and again, as an election timer is by each heartbeat, costs one alarm per timeout instead of one
 * system call per restart.
 *
 * Never early: the clock is rounded up when a timer starts and down when it is compared. */
#include <errno.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "io_uv_private.h"

static void alarm_went_off(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    struct io_uv *io = poll->data;
    /* Not read: setting the timerfd anew before the next poll clears it, which saves a system call. */
    io->timers.alarm_us = 0;
    io->timers.alarm_is_due = true;
}

int io_uv__timers_init(struct io_uv *io)
{
    struct io_uv_timers *timers = &io->timers;
    timers->posted.post_next = timers->posted.post_previous = &timers->posted;
    timers->fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (timers->fd < 0) return -errno;
    int status = uv_poll_init(&io->loop, &timers->poll, timers->fd);
    if (status < 0) {
        close(timers->fd);
        return status;
    }
    timers->poll.data = io;
    return uv_poll_start(&timers->poll, UV_READABLE, alarm_went_off);
}

static void poll_closed(uv_handle_t *handle)
{
    struct io_uv *io = handle->data;
    close(io->timers.fd);
}

void io_uv__timers_close(struct io_uv *io)
{
    uv_close((uv_handle_t *)&io->timers.poll, poll_closed);
}

/* deadline_us 0: no alarm. */
static void set_alarm(struct io_uv_timers *timers, uint64_t deadline_us)
{
    struct itimerspec alarm = {.it_value = {.tv_sec = (time_t)(deadline_us / 1000000u),
                                            .tv_nsec = (long)(deadline_us % 1000000u) * 1000}};
    int status = timerfd_settime(timers->fd, TFD_TIMER_ABSTIME, &alarm, NULL);
    assert(status == 0);
    (void)status;
    timers->alarm_us = deadline_us;
    timers->alarm_is_due = false;
}

void io_uv__timers_arm(struct io_uv *io)
{
    struct io_uv_timers *timers = &io->timers;
    struct timer_node *first = timer_heap_first(&timers->heap);
    if (!first) {
        if (timers->alarm_is_due) set_alarm(timers, 0);
    } else if (timers->alarm_us == 0 || timers->alarm_us > first->deadline_us) {
        set_alarm(timers, first->deadline_us);
    }
}

void io_uv__timers_run(struct io_uv *io)
{
    struct io_uv_timers *timers = &io->timers;
    if (!timer_heap_first(&timers->heap)) return;
    uint64_t now_us = io_uv__now_ns() / 1000u;
    /* Timers that start from here on wait for the next turn, so a timer that restarts itself with no delay cannot
     * starve the sockets. */
    uint64_t sequence_end = timers->sequence;
    struct timer_node *first;
    while ((first = timer_heap_first(&timers->heap)) != NULL) {
        if (first->deadline_us > now_us || first->sequence >= sequence_end) break;
        timer_heap_remove(&timers->heap, first);
        struct io_timer *timer = timer_of_node(first);
        timer->fire(timer);
    }
}

void io_uv__timer_start(struct io *base, struct io_timer *timer, uint64_t delay_us)
{
    struct io_uv_timers *timers = &io_uv_of(base)->timers;
    struct timer_node *node = timer_node_of(timer);
    assert(timer->fire);
    if (node->armed) timer_heap_remove(&timers->heap, node);
    uint64_t now_us = (io_uv__now_ns() + 999u) / 1000u;
    /* A delay past the end of time is the end of time that a timerfd can take. */
    uint64_t end_us = INT64_MAX / 1000;
    node->deadline_us = delay_us > end_us - now_us ? end_us : now_us + delay_us;
    node->sequence = timers->sequence++;
    timer_heap_insert(&timers->heap, node);
}

/* ---- posts --------------------------------------------------------------------------------------------------- */

static void post_unlink(struct timer_node *node)
{
    node->post_previous->post_next = node->post_next;
    node->post_next->post_previous = node->post_previous;
    node->post_next = node->post_previous = NULL;
}

static void post_append(struct timer_node *ring, struct timer_node *node)
{
    node->post_next = ring;
    node->post_previous = ring->post_previous;
    ring->post_previous->post_next = node;
    ring->post_previous = node;
}

void io_uv__post(struct io *base, struct io_timer *timer)
{
    struct timer_node *node = timer_node_of(timer);
    assert(timer->fire);
    if (!node->post_next) post_append(&io_uv_of(base)->timers.posted, node);
}

bool io_uv__has_posts(const struct io_uv *io)
{
    return io->timers.posted.post_next != &io->timers.posted;
}

void io_uv__posts_run(struct io_uv *io)
{
    struct timer_node *posted = &io->timers.posted;
    if (posted->post_next == posted) return;
    /* Move what is there to a ring of its own: a post made from here on runs in the next turn. A callback may stop
     * any timer of this ring, hence one at a time from its head. */
    struct timer_node now = {.post_next = posted->post_next,
                             .post_previous = posted->post_previous};
    now.post_next->post_previous = &now;
    now.post_previous->post_next = &now;
    posted->post_next = posted->post_previous = posted;
    while (now.post_next != &now) {
        struct timer_node *node = now.post_next;
        post_unlink(node);
        struct io_timer *timer = timer_of_node(node);
        timer->fire(timer);
    }
}

void io_uv__timer_stop(struct io *base, struct io_timer *timer)
{
    struct timer_node *node = timer_node_of(timer);
    if (node->armed) timer_heap_remove(&io_uv_of(base)->timers.heap, node);
    if (node->post_next) post_unlink(node);
}
