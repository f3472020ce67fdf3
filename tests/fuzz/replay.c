/* A fuzz target without a fuzzer: every file of the given folders, once. So the saved corpus runs in every build. */
#include "input.h"

#include <dirent.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_BYTES_MAX (1u << 20)

static uint32_t runs;

static void run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    fuzz_check(file, "%s cannot be read", path);
    uint8_t *bytes = malloc(FILE_BYTES_MAX);
    fuzz_check(bytes, "no memory");
    size_t count = fread(bytes, 1, FILE_BYTES_MAX, file);
    fclose(file);
    fprintf(stderr, "%s\n", path); /* the last one named is the one that failed */
    /* Exactly its bytes: a sanitizer watches the end. */
    uint8_t *exact = malloc(count ? count : 1);
    fuzz_check(exact, "no memory");
    memcpy(exact, bytes, count);
    free(bytes);
    (void)LLVMFuzzerTestOneInput(exact, count);
    free(exact);
    runs++;
}

static void run_folder(const char *path)
{
    struct dirent **names;
    int count = scandir(path, &names, NULL, alphasort);
    fuzz_check(count >= 0, "%s cannot be listed", path);
    for (int i = 0; i < count; i++) {
        char name[1024];
        snprintf(name, sizeof name, "%s/%s", path, names[i]->d_name);
        if (names[i]->d_name[0] != '.') run_file(name);
        free(names[i]);
    }
    free(names);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        struct stat about;
        fuzz_check(stat(argv[i], &about) == 0, "%s is not there", argv[i]);
        if (S_ISDIR(about.st_mode)) {
            run_folder(argv[i]);
        } else {
            run_file(argv[i]);
        }
    }
    printf("%u inputs\n", runs);
    return runs > 0 ? 0 : 1;
}
