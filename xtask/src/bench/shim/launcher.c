/* Starts programs in turn, so many rounds, and times each from vfork to the end of the child. One processor for all, so
 * that no start waits for another core. Written in C, for between vfork and execve nothing may run but this.
 *
 *   launcher ROUNDS STATUS PROGRAM [NAME=VALUE…] ';' PROGRAM [NAME=VALUE…] ';' …
 *
 * Each program gets just its variables and must end with STATUS. For each one a line: nanoseconds (least, first
 * quartile, median, third quartile) and page faults of the median start. */
#define _GNU_SOURCE
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CASES_MAX = 16, WARM_ROUNDS = 50 };

struct start {
    uint64_t ns;
    long faults;
};

struct contestant {
    char **argv;
    char **environment;
    struct start *starts;
};

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static struct start start(const struct contestant *one, int expected) {
    uint64_t began = now();
    pid_t child = vfork();
    if (child == 0) {
        execve(one->argv[0], one->argv, one->environment);
        _exit(126);
    }
    int status = 0;
    struct rusage usage;
    if (child < 0 || wait4(child, &status, 0, &usage) != child) {
        perror("launcher");
        exit(1);
    }
    struct start start = { now() - began, usage.ru_minflt };
    if (!WIFEXITED(status) || WEXITSTATUS(status) != expected) {
        fprintf(stderr, "launcher: %s ended with wait status 0x%x, expected exit %d\n", one->argv[0], status, expected);
        exit(1);
    }
    return start;
}

static int by_ns(const void *a, const void *b) {
    const struct start *left = a, *right = b;
    return (left->ns > right->ns) - (left->ns < right->ns);
}

int main(int argc, char **argv) {
    if (argc < 5) {
        return 2;
    }
    size_t rounds = strtoul(argv[1], NULL, 10);
    int expected = atoi(argv[2]);
    struct contestant cases[CASES_MAX];
    size_t count = 0;
    for (int at = 3; at < argc && count < CASES_MAX; at++) {
        struct contestant *one = &cases[count++];
        one->argv = calloc(2, sizeof(char *));
        one->starts = calloc(rounds, sizeof(struct start));
        if (!one->argv || !one->starts) {
            return 1;
        }
        one->argv[0] = argv[at];
        one->environment = &argv[at + 1];
        while (at < argc && strcmp(argv[at], ";") != 0) {
            at++;
        }
        argv[at] = NULL;
    }

    cpu_set_t processor;
    CPU_ZERO(&processor);
    CPU_SET(sched_getcpu(), &processor);
    sched_setaffinity(0, sizeof processor, &processor);

    for (size_t round = 0; round < WARM_ROUNDS + rounds; round++) {
        for (size_t turn = 0; turn < count; turn++) {
            /* Nobody always follows the same one. */
            struct contestant *one = &cases[(turn + round) % count];
            struct start made = start(one, expected);
            if (round >= WARM_ROUNDS) {
                one->starts[round - WARM_ROUNDS] = made;
            }
        }
    }
    for (size_t at = 0; at < count; at++) {
        struct start *starts = cases[at].starts;
        qsort(starts, rounds, sizeof *starts, by_ns);
        struct start median = starts[rounds / 2];
        printf("%lu %lu %lu %lu %ld\n", starts[0].ns, starts[rounds / 4].ns, median.ns, starts[rounds * 3 / 4].ns,
               median.faults);
    }
    return 0;
}
