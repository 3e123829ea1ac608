/* test_log.c - where messages go, and what logging leaves alone. */
#include "harness.h"

#include "base/log.h"
#include "event2/event.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int calls, last_severity, last_fatal;
static char last_text[2000];

static void on_log(int severity, const char *msg) {
    calls++;
    last_severity = severity;
    (void)snprintf(last_text, sizeof(last_text), "%s", msg);
    errno = ERANGE;
}

static void on_fatal(int err) {
    last_fatal = err;
    errno = ERANGE;
}

TEST(log_callback_gets_level_and_formatted_text) {
    event_set_log_callback(on_log);
    pe_log_warn("fd %d: %s", 7, "gone");
    CHECK_EQ(last_severity, EVENT_LOG_WARN);
    CHECK_STR(last_text, "fd 7: gone");
    pe_log_error("bad");
    CHECK_EQ(last_severity, EVENT_LOG_ERR);
    pe_log_msg("note");
    CHECK_EQ(last_severity, EVENT_LOG_MSG);
    CHECK_EQ(calls, 3);
}

TEST(log_leaves_errno_alone) {
    event_set_log_callback(on_log);
    errno = EPIPE;
    pe_log_warn("x");
    CHECK_EQ(errno, EPIPE);
    event_set_fatal_callback(on_fatal);
    pe_log_fatal(3, "x");
    CHECK_EQ(errno, EPIPE);
}

TEST(log_debug_is_off_until_asked_for) {
    event_set_log_callback(on_log);
    pe_log_debug("%d", 1);
    CHECK_EQ(calls, 0);
    event_enable_debug_logging(EVENT_DBG_ALL);
    pe_log_debug("%d", 2);
    CHECK_EQ(calls, 1);
    CHECK_EQ(last_severity, EVENT_LOG_DEBUG);
    CHECK_STR(last_text, "2");
    event_enable_debug_logging(EVENT_DBG_NONE);
    pe_log_debug("%d", 3);
    CHECK_EQ(calls, 1);
}

TEST(log_cuts_a_long_message) {
    static char text[5000];

    memset(text, 'a', sizeof(text) - 1);
    event_set_log_callback(on_log);
    pe_log_warn("%s", text);
    CHECK(strlen(last_text) >= 1000);
    CHECK(strlen(last_text) < 1100);
}

TEST(log_goes_to_stderr_without_a_callback) {
    char got[100];
    int fds[2], saved = dup(STDERR_FILENO);
    ssize_t n;

    CHECK(saved >= 0);
    CHECK_EQ(pipe(fds), 0);
    CHECK_EQ(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
    event_set_log_callback(on_log);
    event_set_log_callback(NULL);
    pe_log_warn("fd %d", 3);
    pe_log_error("no");
    CHECK_EQ(dup2(saved, STDERR_FILENO), STDERR_FILENO);
    close(saved);
    close(fds[1]);
    n = read(fds[0], got, sizeof(got));
    close(fds[0]);
    CHECK_EQ(n, 21);
    CHECK_MEM(got, "[warn] fd 3\n[err] no\n", 21);
    CHECK_EQ(calls, 0);
}

TEST(log_fatal_calls_back_and_returns) {
    event_set_log_callback(on_log);
    pe_log_fatal(5, "broken"); /* without a function: the process lives on */
    CHECK_EQ(last_fatal, 0);
    CHECK_EQ(last_severity, EVENT_LOG_ERR);
    CHECK_STR(last_text, "broken");
    event_set_fatal_callback(on_fatal);
    pe_log_fatal(5, "broken");
    CHECK_EQ(last_fatal, 5);
}
