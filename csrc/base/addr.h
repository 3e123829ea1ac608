/* addr.h - socket addresses as text.
 *
 *     127.0.0.1:80   [::1]:80   [fe80::1%eth0]:80   ::1   unix:/path   unix:@name
 *
 * Without a port the port is 0. "unix:@name" is Linux's abstract namespace.
 * Numbers only: nothing here asks a resolver. No allocation, no state.
 */
#ifndef PE_BASE_ADDR_H
#define PE_BASE_ADDR_H

#include <stddef.h>
#include <sys/socket.h>

/* Enough for pe_addr_format() of any address, with the NUL. */
#define PE_ADDR_TEXT_MAX 128

/* Read `text` into `ss`, its length into `len`. 0; -EINVAL when it is no
 * address; -ENAMETOOLONG when a path does not fit. On failure neither
 * output has changed. */
int pe_addr_parse(const char *text, struct sockaddr_storage *ss, socklen_t *len);

/* Write `sa` into buf[n] in the form that pe_addr_parse() reads; an unnamed
 * unix socket is "unix:". Returns the length of the text; -ENOSPC when it does
 * not fit; -EAFNOSUPPORT for another family; -EINVAL when `len` is too short. */
int pe_addr_format(const struct sockaddr *sa, socklen_t len, char *buf, size_t n);

/* The address alone, as inet_pton(3) with an IPv6 scope ("%eth0" or "%2")
 * allowed: its index goes to `scope` (0: none given). 0 or -EINVAL. */
int pe_addr_parse_in6(const char *text, void *in6, unsigned *scope);

/* A port, 0..65535: decimal digits only, at least one. Or -EINVAL. */
int pe_addr_parse_port(const char *text);

#endif
