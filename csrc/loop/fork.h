/* fork.h - for whoever hears of a fork in the child (os.register_at_fork). */
#ifndef PE_LOOP_FORK_H
#define PE_LOOP_FORK_H

/* In the child, before anything else uses a base: close its copies of every
 * base's descriptors. The parent's bases are not disturbed; here, each comes
 * back with descriptors of its own when it is first used. */
void pe_bases_let_go_after_fork(void);

#endif
