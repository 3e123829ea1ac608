/* random.h - unpredictable bytes, from the kernel.
 *
 * getrandom(2) where there is one, getentropy(3) on the BSDs and macOS, and
 * /dev/urandom where neither answers (an old kernel, a seccomp filter). The
 * kernel reseeds and survives fork; a generator in user space would have to
 * do both itself. Any thread may call; a call costs about 300 ns.
 */
#ifndef PE_BASE_RANDOM_H
#define PE_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* Fill buf[n]. 0, or a negative errno (and the content is undefined). */
int pe_random_bytes(void *buf, size_t n);

/* A random number below `bound`, each equally likely; 0 when `bound` is 0.
 * For jitter and choice, not for keys: falls back to the clock if the kernel
 * has no bytes to give. */
uint32_t pe_random_below(uint32_t bound);

/* What to read where the kernel has no call for random bytes; NULL: /dev/urandom
 * again. The string is kept, not copied. */
void pe_random_set_device(const char *path);

#endif
