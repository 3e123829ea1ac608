/* lend.c - memory that stays the caller's, in a buffer without a copy.
 *
 * The cleanup runs when the last reader is gone: the buffer, those that share it
 * by evbuffer_add_buffer_reference, and the pins.
 */
#include "buf/inner.h"

static int lend(struct evbuffer *buf, const unsigned char *data, size_t offset, size_t n,
                evbuffer_ref_cleanup_cb cleanup, void *arg) {
    struct pe_seg *seg;
    int err = pe_buf_may_add(buf);

    if (err != 0)
        return err;
    if (offset > PE_BUF_MAX - buf->len || !pe_buf_fits(buf, offset + n))
        return -EOVERFLOW;
    if (n == 0) {
        if (cleanup != NULL)
            cleanup(data, offset, arg);
        return 0;
    }
    seg = pe_seg_foreign(buf->pool, PE_SEG_LENT, data, offset + n);
    if (seg == NULL)
        return -ENOMEM;
    seg->head = offset;
    pe_seg_extra(seg)->cleanup = cleanup;
    pe_seg_extra(seg)->cleanup_arg = arg;
    pe_buf_link(buf, seg);
    pe_buf_tell(buf, n, 0);
    return 0;
}

int evbuffer_add_reference(struct evbuffer *outbuf, const void *data, size_t datlen,
                           evbuffer_ref_cleanup_cb cleanupfn, void *cleanupfn_arg) {
    int err = lend(outbuf, data, 0, datlen, cleanupfn, cleanupfn_arg);

    return err != 0 ? pe_fail(err) : 0;
}

int evbuffer_add_reference_with_offset(struct evbuffer *outbuf, const void *data,
                                       size_t offset, size_t datlen,
                                       evbuffer_ref_cleanup_cb cleanupfn,
                                       void *cleanupfn_arg) {
    int err = lend(outbuf, data, offset, datlen, cleanupfn, cleanupfn_arg);

    return err != 0 ? pe_fail(err) : 0;
}
