/* depot.h - segments for buffers that have no pool: evbuffer_new's.
 *
 * A handful of slots for each small size, for the whole process. A slot holds a
 * segment or NULL, and is exchanged atomically: threads never wait for each
 * other, and there is no list that could be seen half changed. Beyond the slots
 * segments come from the allocator and go back to it.
 */
#ifndef PE_BUF_DEPOT_H
#define PE_BUF_DEPOT_H

struct pe_seg;

/* A segment of that class (not BIG), only its origin filled in; NULL when memory
 * is out. */
struct pe_seg *pe_depot_take(unsigned size_class);

/* Give back a segment that was cut from no block, of any class. */
void pe_depot_give(struct pe_seg *seg);

/* One more, one fewer buffer. With the last one the depot is emptied. */
void pe_depot_join(void);
void pe_depot_leave(void);

#endif
