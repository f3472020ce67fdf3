#include "input.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void read_chunk(struct io_job *job)
{
    struct input *input = job->data;
    do {
        input->job_result = read(input->fd, input->chunk, INPUT_CHUNK_BYTES);
    } while (input->job_result < 0 && errno == EINTR);
    if (input->job_result < 0) input->job_result = -errno;
}

static void chunk_read(struct io_job *job)
{
    struct input *input = job->data;
    input->reading = false;
    input->chunk_pos = 0;
    input->chunk_bytes = input->job_result > 0 ? (size_t)input->job_result : 0;
    if (input->job_result < 0) {
        snprintf(input->error, sizeof(input->error), "cannot read %.300s: %s",
                 input->paths_count ? input->paths[input->paths_next - 1] : "standard input",
                 strerror((int)-input->job_result));
    }
    if (input->job_result == 0) input->file_ended = true;
    input->ready(input->data);
}

void input_init(struct input *input, struct io *io, char *const *paths, int paths_count,
                char delimiter, bool whole_file, size_t bytes_max, void (*ready)(void *data),
                void *data)
{
    memset(input, 0, sizeof(*input));
    input->io = io;
    input->queue = io_job_queue_create(io);
    input->chunk = malloc(INPUT_CHUNK_BYTES);
    assert(input->queue);
    assert(input->chunk);
    input->job = (struct io_job){.run = read_chunk, .done = chunk_read, .data = input};
    input->paths = paths;
    input->paths_count = paths_count;
    input->fd = -1;
    input->delimiter = delimiter;
    input->whole_file = whole_file;
    input->bytes_max = bytes_max;
    input->ready = ready;
    input->data = data;
}

static void close_file(struct input *input)
{
    if (input->fd > STDERR_FILENO) close(input->fd);
    input->fd = -1;
}

void input_close(struct input *input)
{
    if (!input->io || input->reading) return;
    close_file(input);
    io_job_queue_destroy(input->io, input->queue);
    free(input->chunk);
    free(input->carry);
    memset(input, 0, sizeof(*input));
}

/* Open the next input. False: there is none (no error), or it cannot be opened (error is set). */
static bool open_next(struct input *input)
{
    int inputs_count = input->paths_count ? input->paths_count : 1;
    if (input->paths_next == inputs_count) return false;
    const char *path = input->paths_count ? input->paths[input->paths_next] : "-";
    input->paths_next++;
    input->fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (input->fd < 0) {
        snprintf(input->error, sizeof(input->error), "cannot open %.300s: %s", path,
                 strerror(errno));
        return false;
    }
    input->file_ended = false;
    return true;
}

/* Keep the rest of the chunk: the message goes on in the next one. */
static void keep_rest(struct input *input, const uint8_t *data, size_t bytes)
{
    if (input->skipping || bytes == 0) return;
    if (input->carry_bytes + bytes > input->bytes_max) {
        input->skipping = true;
        input->carry_bytes = 0;
        return;
    }
    if (input->carry_bytes + bytes > input->carry_capacity) {
        input->carry_capacity = (input->carry_bytes + bytes) * 2;
        input->carry = realloc(input->carry, input->carry_capacity);
        assert(input->carry);
    }
    memcpy(input->carry + input->carry_bytes, data, bytes);
    input->carry_bytes += bytes;
}

/* A message ends with these last bytes. */
static enum input_status finish_message(struct input *input, const uint8_t *data, size_t bytes,
                                        struct input_message *ret_message)
{
    input->line++;
    if (input->carry_bytes > 0 || input->skipping) {
        keep_rest(input, data, bytes);
        input->carry_used = true;
        if (input->skipping) {
            input->skipping = false;
            return INPUT_TOO_LARGE;
        }
        *ret_message = (struct input_message){.data = input->carry, .bytes = input->carry_bytes};
        return INPUT_MESSAGE;
    }
    if (bytes > input->bytes_max) return INPUT_TOO_LARGE;
    *ret_message = (struct input_message){.data = data, .bytes = bytes};
    return INPUT_MESSAGE;
}

/* The file is at its end: what was kept is its last message, with or without a delimiter behind it. */
static enum input_status finish_file(struct input *input, struct input_message *ret_message)
{
    close_file(input);
    bool has_rest = input->carry_bytes > 0 || input->skipping;
    if (!has_rest && !input->whole_file) return INPUT_WAIT;
    return finish_message(input, NULL, 0, ret_message);
}

enum input_status input_next(struct input *input, struct input_message *ret_message)
{
    if (input->carry_used) {
        input->carry_used = false;
        input->carry_bytes = 0;
    }
    for (;;) {
        if (input->reading) return INPUT_WAIT;
        if (input->error[0]) return INPUT_FAILED;
        if (input->fd < 0) {
            if (!open_next(input)) return input->error[0] ? INPUT_FAILED : INPUT_END;
        }
        if (input->chunk_pos < input->chunk_bytes) {
            const uint8_t *data = input->chunk + input->chunk_pos;
            size_t bytes = input->chunk_bytes - input->chunk_pos;
            const uint8_t *end = input->whole_file ? NULL : memchr(data, input->delimiter, bytes);
            if (end) {
                input->chunk_pos += (size_t)(end - data) + 1;
                return finish_message(input, data, (size_t)(end - data), ret_message);
            }
            keep_rest(input, data, bytes);
            input->chunk_pos = input->chunk_bytes;
        }
        if (input->file_ended) {
            enum input_status status = finish_file(input, ret_message);
            if (status != INPUT_WAIT) return status;
            continue;
        }
        input->reading = true;
        io_job_submit(input->io, input->queue, &input->job);
    }
}
