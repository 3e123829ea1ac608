/* harness.c - runs the registered tests, each in a process of its own.
 *
 * The parent forks, waits and reports; the child runs one body. The child's
 * verdict crosses in a shared page rather than a pipe, so that the harness
 * owns no descriptor a test could close or count. The deadline is an alarm of
 * the parent whose handler kills the child's process group: tests are free to
 * use SIGALRM themselves.
 */
#include "harness.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif
#ifndef HARNESS_PLAIN
#include "base/mem.h"
#endif

#ifdef __SANITIZE_ADDRESS__
#define DEADLINE_SECONDS 60
#else
#define DEADLINE_SECONDS 10
#endif

enum verdict { RUNNING, PASSED, FAILED, SKIPPED };

struct report {
    volatile int verdict;
    char text[1000];
};

static struct harness_test *first_test;
static struct harness_test **last_link = &first_test;
static struct report *report;
static volatile pid_t running_child;
static volatile sig_atomic_t is_late;
static const char *program;

void harness_register(struct harness_test *t) {
    *last_link = t;
    last_link = &t->next;
}

/* ---- verdicts, called in the child ---- */

void harness_fail(const char *file, int line, const char *fmt, ...) {
    va_list args;
    int n = snprintf(report->text, sizeof(report->text), "%s:%d: ", file, line);

    if (n < 0 || (size_t)n >= sizeof(report->text)) {
        n = 0;
    }
    va_start(args, fmt);
    (void)vsnprintf(report->text + n, sizeof(report->text) - (size_t)n, fmt, args);
    va_end(args);
    report->verdict = FAILED;
    fflush(NULL);
    _exit(1);
}

void harness_skip(const char *why) {
    (void)snprintf(report->text, sizeof(report->text), "%s", why);
    report->verdict = SKIPPED;
    _exit(0);
}

void harness_check_eq(const char *file, int line, const char *expr, long long got,
                      long long want) {
    if (got != want) {
        harness_fail(file, line, "%s: got %lld, want %lld", expr, got, want);
    }
}

void harness_check_str(const char *file, int line, const char *expr, const char *got,
                       const char *want) {
    if (got == NULL || want == NULL) {
        if (got != want) {
            harness_fail(file, line, "%s: got %s, want %s", expr, got ? got : "NULL",
                         want ? want : "NULL");
        }
    } else if (strcmp(got, want) != 0) {
        harness_fail(file, line, "%s: got \"%s\", want \"%s\"", expr, got, want);
    }
}

/* Bytes as they would stand in a C literal, at most `n`, into `out`. */
static const char *quoted(char *out, size_t size, const unsigned char *p, size_t n) {
    size_t used = 0;

    for (size_t i = 0; i < n && used + 5 < size; i++) {
        int is_plain = p[i] >= 0x20 && p[i] < 0x7f && p[i] != '\\' && p[i] != '"';
        used += (size_t)snprintf(out + used, size - used, is_plain ? "%c" : "\\x%02x", p[i]);
    }
    out[used] = '\0';
    return out;
}

void harness_check_mem(const char *file, int line, const char *expr, const void *got,
                       const void *want, size_t n) {
    const unsigned char *g = got;
    const unsigned char *w = want;
    char shown_got[100], shown_want[100];
    size_t at = 0;

    if (g == NULL) {
        harness_fail(file, line, "%s: got NULL", expr);
    }
    while (at < n && g[at] == w[at]) {
        at++;
    }
    if (at < n) {
        harness_fail(file, line, "%s: byte %zu of %zu on: got \"%s\", want \"%s\"", expr, at, n,
                     quoted(shown_got, sizeof(shown_got), g + at, n - at),
                     quoted(shown_want, sizeof(shown_want), w + at, n - at));
    }
}

/* ---- one test ---- */

/* Open descriptors of this process, without the one used for looking. */
static int open_fds(void) {
    DIR *d = opendir("/dev/fd");
    int n = -1;

    if (d == NULL) {
        return 0; /* no such directory here: equal before and after */
    }
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        n += e->d_name[0] != '.';
    }
    closedir(d);
    return n;
}

static void check_nothing_left(int fds_before) {
    int fds_after = open_fds();

    if (fds_after != fds_before) {
        harness_fail(__FILE__, __LINE__, "descriptors: %d open before the test, %d after",
                     fds_before, fds_after);
    }
#ifndef HARNESS_PLAIN
    for (int k = 0; k < (int)PE_MEM_KINDS; k++) {
        long n = pe_mem_live((enum pe_mem_kind)k);
        if (n != 0) {
            harness_fail(__FILE__, __LINE__, "%ld blocks of kind \"%s\" not given back", n,
                         pe_mem_kind_name((enum pe_mem_kind)k));
        }
    }
    if (pe_mem_live_total() != 0) {
        harness_fail(__FILE__, __LINE__, "%ld blocks not given back", pe_mem_live_total());
    }
#endif
}

static void run_in_child(struct harness_test *t, FILE *output) {
    int fds_before;

    setpgid(0, 0);
    signal(SIGALRM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
    if (dup2(fileno(output), STDOUT_FILENO) < 0 || dup2(fileno(output), STDERR_FILENO) < 0) {
        harness_fail(__FILE__, __LINE__, "dup2: %s", strerror(errno));
    }
    fclose(output);
    setvbuf(stdout, NULL, _IONBF, 0); /* a killed test still shows what it said */
    fds_before = open_fds();
    t->body();
    if (t->is_leaky) {
        report->verdict = PASSED;
        fflush(NULL);
        _exit(0);
    }
    check_nothing_left(fds_before);
    report->verdict = PASSED;
    exit(0); /* not _exit: the leak sanitizer speaks at exit */
}

static void on_signal(int signo) {
    if (running_child > 0) {
        kill(-running_child, SIGKILL);
    }
    if (signo == SIGALRM) {
        is_late = 1;
    } else {
        signal(signo, SIG_DFL);
        raise(signo);
    }
}

/* HARNESS_SECONDS: for tests that go on for as long as they are told to. */
static unsigned deadline(void) {
    const char *text = getenv("HARNESS_SECONDS");

    return text != NULL ? (unsigned)atoi(text) : DEADLINE_SECONDS;
}

static void show_output(FILE *output) {
    char block[4096];
    size_t n;

    rewind(output);
    while ((n = fread(block, 1, sizeof(block), output)) > 0) {
        fwrite(block, 1, n, stdout);
    }
}

/* A process that died after saying PASSED (the leak sanitizer, an atexit
 * function) has failed all the same. */
static int judge(const struct harness_test *t, int status) {
    if (is_late) {
        printf("FAIL %s %s: not finished after %u s\n", program, t->name, deadline());
    } else if (report->verdict == FAILED) {
        printf("FAIL %s %s: %s\n", program, t->name, report->text);
    } else if (WIFSIGNALED(status)) {
        printf("FAIL %s %s: killed by signal %d (%s)\n", program, t->name, WTERMSIG(status),
               strsignal(WTERMSIG(status)));
    } else if (report->verdict == RUNNING || WEXITSTATUS(status) != 0) {
        printf("FAIL %s %s: exited with status %d\n", program, t->name, WEXITSTATUS(status));
    } else if (report->verdict == SKIPPED) {
        printf("skipped %s %s: %s\n", program, t->name, report->text);
        return SKIPPED;
    } else {
        return PASSED;
    }
    return FAILED;
}

static int run_test(struct harness_test *t) {
    FILE *output = tmpfile();
    pid_t pid;
    int status, verdict;

    if (output == NULL) {
        perror("tmpfile");
        return FAILED;
    }
    report->verdict = RUNNING;
    is_late = 0;
    fflush(NULL);
    pid = fork();
    if (pid < 0) {
        perror("fork");
        fclose(output);
        return FAILED;
    }
    if (pid == 0) {
        run_in_child(t, output);
    }
    setpgid(pid, pid); /* whichever of the two comes first */
    running_child = pid;
    alarm(deadline());
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    alarm(0);
    running_child = 0;
    kill(-pid, SIGKILL); /* what the test forked and left behind */
    verdict = judge(t, status);
    if (verdict == FAILED || getenv("HARNESS_SECONDS") != NULL) {
        show_output(output);
    }
    fclose(output);
    return verdict;
}

int main(int argc, char **argv) {
    const char *part = "";
    int count[SKIPPED + 1] = {0};
    int opt, only_list = 0;
    struct sigaction sa = {.sa_handler = on_signal};

    while ((opt = getopt(argc, argv, "k:l")) != -1) {
        if (opt == 'k') {
            part = optarg;
        } else if (opt == 'l') {
            only_list = 1;
        } else {
            fprintf(stderr, "usage: %s [-l] [-k PART]\n", argv[0]);
            return 2;
        }
    }
    program = strrchr(argv[0], '/') != NULL ? strrchr(argv[0], '/') + 1 : argv[0];
    report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (report == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    sigaction(SIGALRM, &sa, NULL);
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    for (struct harness_test *t = first_test; t != NULL; t = t->next) {
        if (strstr(t->name, part) == NULL) {
            continue;
        }
        if (only_list) {
            puts(t->name);
        } else {
            count[run_test(t)]++;
        }
    }
    if (!only_list) {
        printf("%d passed, %d failed", count[PASSED], count[FAILED]);
        printf(count[SKIPPED] > 0 ? ", %d skipped\n" : "\n", count[SKIPPED]);
    }
    return count[FAILED] > 0 ? 1 : 0;
}
