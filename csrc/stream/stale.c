/* stale.c - binding to a path that was left behind. See stale.h. */
#include "stream/stale.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/sock.h"

#define PATH_OFFSET offsetof(struct sockaddr_un, sun_path)
#define PATH_MAX_UN (sizeof(((struct sockaddr_un *)0)->sun_path))
#define LOCK_TRIES 500 /* one a millisecond */

static int bind_once(int fd, const struct sockaddr *sa, socklen_t len) {
    return bind(fd, sa, len) < 0 ? -errno : 0;
}

/* The path of an address, ended by a NUL; false: it is none. Abstract names do not
 * outlive their sockets. */
static bool path_of(const struct sockaddr *sa, socklen_t len, char path[PATH_MAX_UN + 1]) {
    const char *from = (const char *)sa + PATH_OFFSET;
    size_t n = (size_t)len - PATH_OFFSET;

    if (sa->sa_family != AF_UNIX || (size_t)len <= PATH_OFFSET || from[0] == '\0')
        return false;
    if (n > PATH_MAX_UN)
        n = PATH_MAX_UN;
    memcpy(path, from, n);
    path[n] = '\0';
    return true;
}

/* The directory of `path`, opened and locked; a negative errno. */
static int lock_directory(const char *path) {
    char dir[PATH_MAX_UN + 1];
    char *slash;
    int fd, err = -1;

    memcpy(dir, path, strlen(path) + 1);
    slash = strrchr(dir, '/');
    if (slash == NULL)
        memcpy(dir, ".", 2);
    else
        slash[slash == dir] = '\0'; /* "/name" is in "/" */
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    for (int i = 0; i < LOCK_TRIES && err < 0; i++) {
        err = flock(fd, LOCK_EX | LOCK_NB);
        if (err == 0)
            return fd;
        if (errno != EWOULDBLOCK && errno != EINTR)
            break;
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    (void)pe_close(fd);
    return -EADDRINUSE;
}

static void unlock_directory(int fd) {
    (void)flock(fd, LOCK_UN); /* a child that was forked meanwhile has it, too */
    (void)pe_close(fd);
}

/* Whether no open socket is bound to the address. */
static bool is_stale(const struct sockaddr *sa, socklen_t len) {
    int fd = pe_socket(AF_UNIX, SOCK_DGRAM, 0);
    bool is_refused;

    if (fd < 0)
        return false;
    is_refused = connect(fd, sa, len) < 0 && errno == ECONNREFUSED;
    (void)pe_close(fd);
    return is_refused;
}

/* With the lock held: bind, over a stale socket if need be. Binding makes the file
 * first and the socket known after that, but with the directory locked by the kernel:
 * so after a bind of our own has failed, the file that was there before is complete. */
static int bind_locked(int fd, const struct sockaddr *sa, socklen_t len, const char *path) {
    struct stat before, after;
    int err;

    if (lstat(path, &before) < 0)
        memset(&before, 0, sizeof(before));
    err = bind_once(fd, sa, len);
    if (err != -EADDRINUSE || !S_ISSOCK(before.st_mode) || !is_stale(sa, len))
        return err;
    if (lstat(path, &after) < 0 || after.st_ino != before.st_ino || after.st_dev != before.st_dev)
        return -EADDRINUSE; /* somebody who knows no lock was faster */
    if (unlink(path) < 0)
        return -errno;
    return bind_once(fd, sa, len);
}

int pe_bind_over_stale(int fd, const struct sockaddr *sa, socklen_t len) {
    char path[PATH_MAX_UN + 1];
    int lock, err = bind_once(fd, sa, len);

    if (err != -EADDRINUSE || !path_of(sa, len, path))
        return err;
    lock = lock_directory(path);
    if (lock < 0)
        return -EADDRINUSE;
    err = bind_locked(fd, sa, len, path);
    unlock_directory(lock);
    return err;
}
