/* inside.h - what a buffer must look like inside, whatever was done to it. */
#ifndef PE_TESTS_BUF_INSIDE_H
#define PE_TESTS_BUF_INSIDE_H

#include "buf/evbuffer.h"
#include "buf/seg.h"

#include "../harness.h"

/* The invariants of evbuffer.h and seg.h. Returns how many segments there are. */
static inline int check_inside(const struct evbuffer *buf) {
    size_t sum = 0;
    int count = 0;
    const struct pe_seg *seg, *seen_last = NULL;

    for (seg = buf->first; seg != NULL; seg = seg->next) {
        size_t used = pe_seg_used(seg);

        CHECK(used <= seg->mask + 1);
        CHECK(seg->limit == 0 || seg->limit == seg->mask + 1);
        CHECK(seg->kind == PE_SEG_RING || seg->limit == 0);
        CHECK(seg->refs >= 1);
        CHECK(seg->refs == 1 || seg->limit == 0);
        if (seen_last != NULL || buf->len == 0)
            CHECK_EQ(used, 0);
        else
            CHECK(used > 0);
        if (seen_last != NULL)
            CHECK_EQ(seg->kind, PE_SEG_RING);
        if (seg == buf->last)
            seen_last = seg;
        sum += used;
        count++;
    }
    CHECK(seen_last == buf->last);
    CHECK_EQ(sum, buf->len);
    if (buf->len == 0)
        CHECK(count <= 1);
    CHECK(buf->searched <= buf->len);
    return count;
}

#endif
