#include "config.h"

#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <string.h>

struct config_reading {
    struct options *options;
    const char *path;
    char *error;
    bool failed;
    char seen[OPTIONS_FLAGS_MAX][64]; /* keys so far: a second one would silently win */
    int seen_count;
};

static int refuse(struct config_reading *reading, const char *key, const char *problem)
{
    snprintf(reading->error, OPTIONS_ERROR_BYTES, "%.200s: '%.60s' %s", reading->path, key,
             problem);
    reading->failed = true;
    return 0;
}

static int take_setting(void *data, const char *section, const char *name, const char *value)
{
    struct config_reading *reading = data;
    if (reading->failed) return 0;
    char key[64];
    int bytes = snprintf(key, sizeof(key), "%s%s%s", section, *section ? "-" : "", name);
    for (char *c = key; *c; c++) {
        if (*c == '_' || *c == '.') *c = '-';
    }
    if (bytes >= (int)sizeof(key)) return refuse(reading, key, "is not a setting");
    if (strcmp(key, "config") == 0) return refuse(reading, key, "cannot stand in a config file");
    for (int i = 0; i < reading->seen_count; i++) {
        if (strcmp(reading->seen[i], key) == 0) return refuse(reading, key, "is set twice");
    }
    if (reading->seen_count == OPTIONS_FLAGS_MAX) return refuse(reading, key, "is not a setting");
    memcpy(reading->seen[reading->seen_count++], key, sizeof(key));
    if (!options_set(reading->options, key, value, OPTION_FILE, reading->path, reading->error)) {
        reading->failed = true;
        return 0;
    }
    return 1;
}

bool config_read(struct options *options, const char *path, char *error)
{
    struct config_reading reading = {.options = options, .path = path, .error = error};
    errno = 0;
    int line = ini_parse(path, take_setting, &reading);
    if (reading.failed) {
        size_t used = strlen(error);
        if (line > 0) snprintf(error + used, OPTIONS_ERROR_BYTES - used, " (line %d)", line);
        return false;
    }
    if (line == -1) {
        snprintf(error, OPTIONS_ERROR_BYTES, "cannot read the config file %.200s: %s", path,
                 strerror(errno));
        return false;
    }
    if (line != 0) {
        snprintf(error, OPTIONS_ERROR_BYTES, "%.200s: line %d is not 'name = value'", path, line);
        return false;
    }
    return true;
}
