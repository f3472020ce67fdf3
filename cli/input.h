/* Messages out of standard input and files: pulled one by one, read off the loop.
 *
 *     while (input_next(input, &message) == INPUT_MESSAGE) ...
 *
 * INPUT_WAIT: `ready` will be called when there is more to pull. A reader that does not pull stops the reading: at most
 * one chunk and one message are held. */
#ifndef CLI_INPUT_H
#define CLI_INPUT_H

#include <broker/io.h>

#define INPUT_CHUNK_BYTES (256u * 1024u)

enum input_status {
    INPUT_MESSAGE,
    INPUT_WAIT,
    INPUT_END,
    INPUT_TOO_LARGE, /* a message of more than bytes_max was skipped; the next call goes on behind it */
    INPUT_FAILED, /* a file cannot be read: `error` says which and why; there is nothing more */
};

struct input_message {
    const uint8_t *data; /* borrowed until the next call */
    size_t bytes;
};

struct input {
    struct io *io;
    struct io_job_queue *queue;
    struct io_job job;
    char *const *paths; /* "-" is standard input */
    int paths_count, paths_next;
    int fd; /* -1: none open */
    char delimiter;
    bool whole_file;
    size_t bytes_max;
    void (*ready)(void *data);
    void *data;

    uint8_t *chunk;
    size_t chunk_bytes, chunk_pos;
    bool reading; /* the job owns chunk */
    ssize_t job_result;
    bool file_ended;
    uint8_t *carry; /* a message that began in an earlier chunk */
    size_t carry_bytes, carry_capacity;
    bool carry_used; /* was given out by the last call */
    bool skipping;   /* inside of a message that is too large */
    uint64_t line;   /* of the last message, over all inputs, from 1 */
    char error[512];
};

/* paths: borrowed, array[paths_count]; none means standard input. */
void input_init(struct input *input, struct io *io, char *const *paths, int paths_count,
                char delimiter, bool whole_file, size_t bytes_max, void (*ready)(void *data),
                void *data);
/* Not while a read is out: at the end, or when the process is about to exit anyway. */
void input_close(struct input *input);
enum input_status input_next(struct input *input, struct input_message *ret_message);

#endif
