/* test_random.c - bytes from the kernel. */
#include "harness.h"

#include "base/random.h"

#include "event2/event.h"
#include "event2/util.h"

#include <errno.h>
#include <string.h>
#ifdef __linux__
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

TEST(random_fills_exactly_what_is_asked_for) {
    static unsigned char buf[1002];
    int seen[256] = {0}, different = 0;

    buf[0] = buf[1001] = 0xAB;
    CHECK_EQ(pe_random_bytes(buf + 1, 1000), 0); /* several calls of the kernel */
    CHECK_EQ(buf[0], 0xAB);
    CHECK_EQ(buf[1001], 0xAB);
    for (int i = 1; i <= 1000; i++)
        different += seen[buf[i]]++ == 0;
    CHECK(different > 200); /* 251 expected; 200 or fewer: never */
    CHECK_EQ(pe_random_bytes(buf, 0), 0);
}

TEST(random_differs_from_call_to_call) {
    unsigned char a[16], b[16];

    CHECK_EQ(pe_random_bytes(a, sizeof(a)), 0);
    CHECK_EQ(pe_random_bytes(b, sizeof(b)), 0);
    CHECK(memcmp(a, b, sizeof(a)) != 0);
}

TEST(random_below_keeps_its_bound_and_reaches_all) {
    int seen[7] = {0};

    CHECK_EQ(pe_random_below(0), 0);
    CHECK_EQ(pe_random_below(1), 0);
    for (int i = 0; i < 700; i++) {
        uint32_t x = pe_random_below(7);

        CHECK(x < 7);
        seen[x]++;
    }
    for (int i = 0; i < 7; i++)
        CHECK(seen[i] > 40); /* 100 expected; 6 standard deviations down */
    CHECK(pe_random_below(UINT32_MAX) < UINT32_MAX);
}

#ifdef __linux__
/* From here on getrandom(2) fails with `err` in this process. */
static void refuse_getrandom(unsigned err) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getrandom, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | err),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = 4, .filter = code};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        SKIP("no seccomp filters here");
}

TEST(random_reads_the_device_where_the_kernel_call_is_refused) {
    unsigned char a[600], b[600];

    refuse_getrandom(ENOSYS);
    CHECK_EQ(pe_random_bytes(a, sizeof(a)), 0);
    CHECK_EQ(pe_random_bytes(b, sizeof(b)), 0);
    CHECK(memcmp(a + 570, b + 570, 30) != 0);
    CHECK_EQ(evutil_secure_rng_init(), 0);
}

static int fatal_err, logged;

static void on_fatal(int err) {
    fatal_err = err;
}

static void on_log(int severity, const char *msg) {
    (void)msg;
    logged += severity == EVENT_LOG_ERR;
}

TEST(random_that_cannot_be_had_is_an_error_and_no_guess) {
    static char missing[] = "/nonexistent/random", empty[] = "/dev/null";
    static const unsigned char zeros[8];
    unsigned char buf[8] = "secret!";

    refuse_getrandom(EPERM);
    evutil_secure_rng_set_urandom_device_file(missing);
    CHECK_EQ(pe_random_bytes(buf, sizeof(buf)), -ENOENT);
    CHECK_EQ(evutil_secure_rng_init(), -1);
    CHECK_EQ(errno, ENOENT);
    evutil_secure_rng_set_urandom_device_file(empty);
    CHECK_EQ(pe_random_bytes(buf, sizeof(buf)), -EIO);
    CHECK(pe_random_below(10) < 10); /* from the clock */
    event_set_log_callback(on_log);
    event_set_fatal_callback(on_fatal);
    evutil_secure_rng_get_bytes(buf, sizeof(buf));
    CHECK_MEM(buf, zeros, sizeof(buf));
    CHECK_EQ(fatal_err, EIO);
    CHECK_EQ(logged, 1);
}
#endif
