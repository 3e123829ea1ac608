/* fuzz_buffer.c - buffers driven by an input, each beside a flat array.
 *
 * The input decides everything: which operation, how many bytes, which bytes, and
 * when memory fails. The operations and what they must do are tests/c/buf/model.h;
 * the invariants inside are checked after each one.
 *
 *     operation  its numbers and bytes  operation ...
 *
 * An input that has run out gives zeroes, and the next operation is the last.
 */
#include "base/mem.h"
#include "buf/quick.h"
#include "buf/inside.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static const uint8_t *input;
static size_t input_left;

static unsigned take_number(unsigned below);
static void take_bytes(unsigned char *out, size_t n);

#define MODEL_CAP ((size_t)1 << 16)
#define MODEL_MAY_FAIL() pe_mem_has_failed()
#define MODEL_BEFORE() ((void)0)
#define MODEL_AFTER(buf) ((void)check_inside(buf))
#define MODEL_RANDOM(below) take_number(below)
#define MODEL_FILL(out, n) take_bytes(out, n)

#include "buf/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned take_number(unsigned below) {
    unsigned n = 0;

    for (unsigned most = below - 1; most > 0; most >>= 8) {
        n = n << 8 | (input_left > 0 ? *input++ : 0);
        input_left -= input_left > 0;
    }
    return n % below;
}

/* What the input has, over and over: long stretches cost it little. */
static void take_bytes(unsigned char *out, size_t n) {
    size_t have = take_number(32) + 1;

    if (have > input_left)
        have = input_left;
    for (size_t i = 0; i < n; i++)
        out[i] = have > 0 ? input[i % have] : 'q';
    input += have;
    input_left -= have;
}

/* --- What the checks call --- */

static void fail(const char *file, int line, const char *what) {
    fprintf(stderr, "%s:%d: %s\n", file, line, what);
    abort();
}

void harness_fail(const char *file, int line, const char *fmt, ...) {
    va_list ap;

    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fail(file, line, "");
    abort();
}

void harness_check_eq(const char *file, int line, const char *expr, long long got,
                      long long want) {
    if (got != want) {
        fprintf(stderr, "%lld is not %lld\n", got, want);
        fail(file, line, expr);
    }
}

/* --- Lines as the Python face takes them --- */

static void op_line(struct model *m) {
    enum evbuffer_eol_style style = (enum evbuffer_eol_style)take_number(5);
    size_t eol_len, found_len = 0, len;
    long at = flat_eol(m, 0, style, &eol_len);
    const unsigned char *line = NULL;
    struct pe_lines it;
    ssize_t got;

    pe_lines_init(&it, m->buf, style);
    if (pe_lines_next(&it))
        CHECK_EQ(it.pos, (size_t)at + eol_len);
    else
        CHECK(at < 0 || (it.err < 0 && MODEL_MAY_FAIL()));
    line = pe_evbuffer_near_line(m->buf, style, &len, &found_len);
    if (line != NULL) {
        CHECK_EQ(len, at);
        CHECK_EQ(found_len, eol_len);
        CHECK(memcmp(line, m->data, len) == 0);
        pe_evbuffer_take_near(m->buf, len + eol_len);
        flat_drop(m, len + eol_len);
        return;
    }
    got = pe_evbuffer_line(m->buf, style, &line, &found_len);
    if (got < -1)
        CHECK(MODEL_MAY_FAIL()); /* a file that is not in memory */
    else
        CHECK_EQ(got, at);
    if (got < 0)
        return;
    CHECK_EQ(found_len, eol_len);
    CHECK(line == NULL || memcmp(line, m->data, (size_t)at) == 0);
    pe_evbuffer_take(m->buf, (size_t)at + eol_len);
    flat_drop(m, (size_t)at + eol_len);
}

/* --- One input --- */

static void step(void) {
    static void (*const one[])(struct model *) = {
        op_add,    op_add_iovec, op_prepend,   op_remove,       op_drain,  op_readln, op_line,
        op_search, op_pullup,    op_search_eol, op_copyout_from, op_expand, op_reserve,
        op_reference, op_freeze, op_printf,
    };
    static void (*const two[])(struct model *, struct model *) = {
        op_add_buffer, op_remove_buffer, op_prepend_buffer, op_share,
    };
    unsigned which = take_number(256);
    struct model *m = &models[which >> 6], *other;

    which &= 63;
    pe_mem_fail_nth(0);
    if (which >= 60) { /* the next operation without memory */
        pe_mem_fail_nth((long)which - 59);
        which = take_number(60);
    }
    if (which == 59) {
        op_file(m);
    } else if (which % 20 < 16) {
        one[which % 20](m);
    } else {
        other = &models[take_number(N_MODELS)];
        two[which % 20 - 16](m, other);
        model_compare(other);
    }
    model_compare(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static unsigned char flat[N_MODELS][MODEL_CAP + 1];

    (void)model_run; /* random steps are not for here */
    input = data;
    input_left = size;
    lent_out = lent_back = 0;
    for (int i = 0; i < N_MODELS; i++) {
        memset(&models[i], 0, sizeof(models[i]));
        models[i].buf = evbuffer_new();
        models[i].data = flat[i];
        CHECK(models[i].buf != NULL);
        CHECK(evbuffer_add_cb(models[i].buf, model_told, &models[i]) != NULL);
    }
    for (int steps = 0; input_left > 0 && steps < 300; steps++)
        step();
    pe_mem_fail_nth(0);
    for (int i = 0; i < N_MODELS; i++)
        evbuffer_free(models[i].buf);
    CHECK_EQ(lent_back, lent_out);
    CHECK_EQ(pe_mem_live_total(), 0);
    return 0;
}
