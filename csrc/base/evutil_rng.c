/* evutil_rng.c - the random bytes of event2/util.h, over base/random.h. */
#include "event2/util.h"

#include "base/errors.h"
#include "base/log.h"
#include "base/random.h"

void evutil_secure_rng_get_bytes(void *buf, size_t n) {
    int err = pe_random_bytes(buf, n);

    if (err < 0) {
        memset(buf, 0, n); /* no stale content that might pass for random */
        pe_log_fatal(-err, "no random bytes from the kernel: %s", strerror(-err));
    }
}

int evutil_secure_rng_init(void) {
    unsigned char byte;
    int err = pe_random_bytes(&byte, 1);

    return err < 0 ? pe_fail(err) : 0;
}

int evutil_secure_rng_set_urandom_device_file(char *fname) {
    pe_random_set_device(fname);
    return 0;
}

void evutil_secure_rng_add_bytes(const char *dat, size_t datlen) {
    (void)dat;
    (void)datlen;
}
