/* random.c - asking the kernel for bytes. See random.h. */
#include "base/random.h"

#include "base/clock.h"
#include "base/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/types.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/syscall.h>
#elif defined(__APPLE__)
#include <sys/random.h>
#endif

static const char *_Atomic device = "/dev/urandom";

void pe_random_set_device(const char *path) {
    atomic_store(&device, path != NULL ? path : "/dev/urandom");
}

/* At most 256 bytes, which both calls hand out whole or not at all. */
static int kernel_bytes(unsigned char *p, size_t n) {
#if defined(SYS_getrandom)
    long got;

    do /* by number: the C libraries of old distributions lack the function */
        got = syscall(SYS_getrandom, p, n, 0);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return -errno;
    return (size_t)got == n ? 0 : -EIO;
#elif defined(__linux__)
    (void)p;
    (void)n;
    return -ENOSYS;
#else
    return getentropy(p, n) == 0 ? 0 : -errno;
#endif
}

static int device_bytes(unsigned char *p, size_t n) {
    int fd = open(atomic_load(&device), O_RDONLY | O_CLOEXEC);
    int err = 0;

    if (fd < 0)
        return -errno;
    while (n > 0) {
        ssize_t got = read(fd, p, n);

        if (got > 0) {
            p += got;
            n -= (size_t)got;
        } else if (got == 0 || errno != EINTR) {
            err = got == 0 ? -EIO : -errno; /* an end of file is no randomness */
            break;
        }
    }
    (void)pe_close(fd); /* only read from: nothing can be lost */
    return err;
}

int pe_random_bytes(void *buf, size_t n) {
    unsigned char *p = buf;

    while (n > 0) {
        size_t part = n < 256 ? n : 256;

        if (kernel_bytes(p, part) < 0)
            return device_bytes(p, n);
        p += part;
        n -= part;
    }
    return 0;
}

uint32_t pe_random_below(uint32_t bound) {
    /* Numbers at or above the last multiple of `bound` are drawn again: taken
     * modulo `bound` they would favour its small values. */
    uint32_t excess = bound != 0 ? (uint32_t)(-bound) % bound : 0;
    uint32_t x;

    if (bound == 0)
        return 0;
    do {
        if (pe_random_bytes(&x, sizeof(x)) < 0)
            return (uint32_t)((uint64_t)pe_clock_now() / 64 % bound);
    } while (x < excess);
    return x % bound;
}
