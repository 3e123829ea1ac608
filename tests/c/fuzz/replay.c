/* replay.c - runs a fuzz target over files, where there is no libFuzzer.
 *
 *     fuzz_x [FILE or DIRECTORY ...]
 *
 * Without arguments it takes tests/c/fuzz/corpus/x, from the top of the tree. An
 * input that fails ends the program, as with libFuzzer; its name is on stderr.
 */
#include <dirent.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A sanitizer's, where there is one: called before it ends the program. */
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

static int count;
static const char *current;

static void name_input(void) {
    fprintf(stderr, "input: %s\n", current);
}

static void name_aborted(int signal) {
    (void)signal;
    name_input();
}

static int replay_file(const char *path) {
    FILE *file = fopen(path, "rb");
    uint8_t *data;
    long size;

    if (file == NULL) {
        perror(path);
        return 1;
    }
    fseek(file, 0, SEEK_END);
    size = ftell(file);
    rewind(file);
    data = malloc(size > 0 ? (size_t)size : 1); /* exact, so that ASan sees overreads */
    if (data == NULL || size < 0 || fread(data, 1, (size_t)size, file) != (size_t)size) {
        perror(path);
        exit(1);
    }
    fclose(file);
    current = path;
    LLVMFuzzerTestOneInput(data, (size_t)size);
    free(data);
    count++;
    return 0;
}

static int replay(const char *path) {
    struct dirent *entry;
    char inside[4096];
    int failed = 0;
    struct stat st;
    DIR *dir;

    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
        return replay_file(path);
    dir = opendir(path);
    if (dir == NULL) {
        perror(path);
        return 1;
    }
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(inside, sizeof(inside), "%s/%s", path, entry->d_name);
        failed |= replay_file(inside);
    }
    closedir(dir);
    return failed;
}

int main(int argc, char **argv) {
    char corpus[256];
    const char *name = strstr(argv[0], "fuzz_");
    int failed = 0;

    signal(SIGABRT, name_aborted);
    if (__sanitizer_set_death_callback != NULL)
        __sanitizer_set_death_callback(name_input);
    if (argc > 1 && strcmp(argv[1], "-k") == 0)
        return 0; /* only tests of some name are wanted, and this is none */
    for (int i = 1; i < argc; i++)
        failed |= replay(argv[i]);
    if (argc < 2 && name != NULL) {
        snprintf(corpus, sizeof(corpus), "tests/c/fuzz/corpus/%s", name + strlen("fuzz_"));
        failed = replay(corpus);
    }
    printf("%d inputs\n", count);
    return failed || count == 0;
}
