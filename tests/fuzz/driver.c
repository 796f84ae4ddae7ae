/* driver.c - runs a fuzz entry point without libFuzzer: replays a corpus, then mutates it.
 *
 *   fuzz_WHAT CORPUS_FOLDER...
 *
 * Every file of the folders is fed to LLVMFuzzerTestOneInput as it is, then mutations of them QS_FUZZ_RUNS times
 * (default 20000) from a fixed seed (QS_FUZZ_SEED, default 1), so that a failure comes again. With QS_FUZZ_KEEP set,
 * each input is written to $TMPDIR/fuzz-PID.input before it is run. Nothing is caught: a crash is a crash.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define INPUT_MAX (1u << 20)
#define SEEDS_MAX 1024

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    uint8_t *data;
    size_t size;
};

static struct input seeds[SEEDS_MAX];
static size_t seed_count;
static uint64_t state;
static char keep_path[4096];

/* splitmix64 */
static uint64_t next_random(void)
{
    uint64_t z = state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static size_t below(size_t n)
{
    return n ? (size_t)(next_random() % n) : 0;
}

static void die(const char *what, const char *name)
{
    (void)fprintf(stderr, "fuzz driver: %s '%s'\n", what, name);
    exit(99);
}

static void load_file(const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0)
        die("cannot open", path);
    if (!S_ISREG(st.st_mode) || st.st_size > (off_t)INPUT_MAX || seed_count == SEEDS_MAX) {
        close(fd);
        return;
    }
    struct input *s = &seeds[seed_count];
    s->data = malloc((size_t)st.st_size + 1);
    if (!s->data)
        die("out of memory for", path);
    while (s->size < (size_t)st.st_size) {
        ssize_t got = read(fd, s->data + s->size, (size_t)st.st_size - s->size);
        if (got <= 0)
            die("cannot read", path);
        s->size += (size_t)got;
    }
    close(fd);
    seed_count++;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* Files in the order of their names: the folder's own order differs between machines, and the runs with it. */
static void load_folder(const char *dir)
{
    struct dirent **names = NULL;
    int n = scandir(dir, &names, NULL, by_name);
    if (n < 0)
        die("cannot read the corpus", dir);
    for (int i = 0; i < n; i++) {
        char path[4096];
        (void)snprintf(path, sizeof path, "%s/%s", dir, names[i]->d_name);
        if (names[i]->d_name[0] != '.')
            load_file(path);
        free(names[i]);
    }
    free(names);
}

static void run_one(const uint8_t *data, size_t n)
{
    if (keep_path[0]) {
        int fd = open(keep_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        for (size_t at = 0; fd >= 0 && at < n;) {
            ssize_t put = write(fd, data + at, n - at);
            if (put <= 0)
                break;
            at += (size_t)put;
        }
        if (fd >= 0)
            close(fd);
    }
    /* A block of exactly the input's size: reading past it is seen by a sanitizer. */
    uint8_t *exact = malloc(n ? n : 1);
    if (!exact)
        die("out of memory for", "an input");
    if (n)
        memcpy(exact, data, n);
    (void)LLVMFuzzerTestOneInput(exact, n);
    free(exact);
}

/* --- mutations: each changes data[0, *n), with room for INPUT_MAX bytes ------------------------------------------- */

static void flip_bit(uint8_t *data, size_t *n)
{
    if (*n)
        data[below(*n)] ^= (uint8_t)(1u << below(8));
}

static void set_byte(uint8_t *data, size_t *n)
{
    static const uint8_t values[] = { 0, 1, 0x7F, 0x80, 0xFF, 0xFE, '"', '\\', '{', '[', '(', '0', '-', '\n',
                                      0xC0, 0xED };
    if (*n)
        data[below(*n)] = below(4) ? values[below(sizeof values)] : (uint8_t)next_random();
}

/* A little-endian number of 2, 4 or 8 bytes of the kind that breaks sums. */
static void set_number(uint8_t *data, size_t *n)
{
    static const uint64_t values[] = { 0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000,
                                       0xFFFFFFFF, 0x100000000, INT64_MAX, (uint64_t)INT64_MAX + 1, UINT64_MAX - 7,
                                       UINT64_MAX };
    size_t width = (size_t)2 << below(3);
    if (*n < width)
        return;
    uint64_t v = values[below(sizeof values / sizeof values[0])];
    uint8_t *p = data + below(*n - width + 1);
    for (size_t i = 0; i < width; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

static void truncate_input(uint8_t *data, size_t *n)
{
    (void)data;
    *n = below(*n + 1);
}

static void remove_piece(uint8_t *data, size_t *n)
{
    size_t from = below(*n), len = below(*n - from + 1);
    memmove(data + from, data + from + len, *n - from - len);
    *n -= len;
}

/* Inserts random bytes, or a piece of the input again. */
static void insert_piece(uint8_t *data, size_t *n)
{
    uint8_t piece[64];
    size_t len = 1 + below(sizeof piece), at = below(*n + 1);
    if (*n + len > INPUT_MAX)
        return;
    if (*n >= len && below(2)) {
        memcpy(piece, data + below(*n - len + 1), len);
    } else {
        uint8_t same = (uint8_t)next_random();
        int constant = (int)below(2);
        for (size_t i = 0; i < len; i++)
            piece[i] = constant ? same : (uint8_t)next_random();
    }
    memmove(data + at + len, data + at, *n - at);
    memcpy(data + at, piece, len);
    *n += len;
}

/* The head of this input and the tail of another. */
static void join_halves(uint8_t *data, size_t *n)
{
    const struct input *other = &seeds[below(seed_count)];
    size_t keep = below(*n + 1), from = below(other->size + 1), len = other->size - from;
    if (keep + len > INPUT_MAX)
        return;
    memcpy(data + keep, other->data + from, len);
    *n = keep + len;
}

static void mutate(uint8_t *data, size_t *n)
{
    static void (*const ways[])(uint8_t *, size_t *) = {
        flip_bit,   flip_bit,       set_byte,     set_byte,     set_number,
        set_number, truncate_input, remove_piece, insert_piece, join_halves,
    };
    for (size_t i = 1 + below(4); i > 0; i--)
        ways[below(sizeof ways / sizeof ways[0])](data, n);
}

static uint64_t env_number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text && text[0] ? strtoull(text, NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
    static uint8_t data[INPUT_MAX];
    uint64_t runs = env_number("QS_FUZZ_RUNS", 20000), seed = env_number("QS_FUZZ_SEED", 1);
    const char *name = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0], *tmp = getenv("TMPDIR");
    if (getenv("QS_FUZZ_KEEP"))
        (void)snprintf(keep_path, sizeof keep_path, "%s/fuzz-%ld.input", tmp && tmp[0] ? tmp : "/tmp", (long)getpid());
    for (int i = 1; i < argc; i++)
        load_folder(argv[i]);
    if (seed_count == 0)
        die("no files in the corpus of", name);
    (void)printf("%s: %zu files, %llu runs, seed %llu\n", name, seed_count, (unsigned long long)runs,
                 (unsigned long long)seed);
    (void)fflush(stdout);
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (size_t i = 0; i < seed_count; i++)
        run_one(seeds[i].data, seeds[i].size);
    state = seed;
    for (uint64_t i = 0; i < runs; i++) {
        const struct input *s = &seeds[below(seed_count)];
        size_t n = s->size;
        memcpy(data, s->data, n);
        mutate(data, &n);
        run_one(data, n);
    }
    clock_gettime(CLOCK_MONOTONIC, &to);
    double seconds = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) * 1e-9;
    (void)printf("%s: done, %.0f runs per second\n", name,
                 (double)(runs + seed_count) / (seconds > 0 ? seconds : 1e-9));
    for (size_t i = 0; i < seed_count; i++)
        free(seeds[i].data);
    if (keep_path[0])
        (void)unlink(keep_path);
    return 0;
}
