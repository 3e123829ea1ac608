"""What every object of a base has in common, and the lists in which a base has them.

Who keeps whom alive: every object of a base (Event, BufferEvent, Listener) has
a reference to it and is in one of its two lists, `held` or `loose`. The base
owns a reference to each held one, and nothing else to any; the C core holds
borrowed pointers only. An Event is held while it is pending or active. The
lists go through C links in the objects, so that holding allocates nothing, and
the base's traverse function shows the held ones to the garbage collector: a
base that nobody refers to any more is collected with all it holds.

Whoever is in a list can rely on the base being there: a base that is closed or
deallocated takes all of its objects out first.
"""

from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF, Py_XDECREF, Py_XINCREF

from pyevent._native.c.event cimport *
from pyevent._native.loop.eventbase cimport EventBase, base_enter, leave


cdef extern from "Python.h":
    ctypedef int (*visit_fn "visitproc")(PyObject *, void *) noexcept
    ctypedef int (*traverse_fn "traverseproc")(PyObject *, visit_fn, void *) noexcept
    ctypedef struct TypeObject "PyTypeObject":
        traverse_fn tp_traverse
    Py_ssize_t Py_REFCNT(PyObject *op)
    void Py_SET_REFCNT(PyObject *op, Py_ssize_t n)


cdef enum:
    MAX_KINDS = 8

cdef detach_fn detachers[MAX_KINDS]
cdef int kinds = 0
cdef Py_ssize_t link_offset


cdef class Attached:
    def __cinit__(self, *args, **kwargs):
        pe_list_init(&self.link)

    def __dealloc__(self):
        pe_list_remove(&self.link)  # if it is in a list, the base is there

    def __reduce__(self):
        raise TypeError(f"cannot pickle or copy {type(self).__name__!r} objects")


cdef inline PyObject *attached_of(pe_link *link) noexcept:
    return <PyObject *>(<char *>link - link_offset)


cdef int register_kind(detach_fn detach_one) except -1:
    """A number for objects that `detach_one` closes when their base is closed."""
    global kinds
    if kinds == MAX_KINDS:
        raise RuntimeError("too many kinds of attached objects")
    detachers[kinds] = detach_one
    kinds += 1
    return kinds - 1


cdef void close_attached(Attached self) noexcept:
    """As its kind is closed."""
    detachers[self.kind](self)


cdef int attach(Attached self, EventBase base, int kind) except -1:
    cdef EventBase old = self.owner  # dropped last
    if not pe_list_empty(&self.link):
        raise RuntimeError(f"{self!r} is set up already")
    base_enter(base)
    self.owner = base
    self.kind = kind
    pe_list_push_back(&base.loose, &self.link)
    return leave(base, 0)


cdef void hold(Attached self) noexcept:
    """The base keeps `self` alive from now on."""
    if not self.is_held:
        self.is_held = True
        Py_INCREF(self)
        pe_list_remove(&self.link)
        pe_list_push_back(&self.owner.held, &self.link)


cdef void unhold(Attached self) noexcept:
    """No longer. The caller has a reference of its own."""
    if self.is_held:
        self.is_held = False
        pe_list_remove(&self.link)
        pe_list_push_back(&self.owner.loose, &self.link)
        Py_DECREF(self)


cdef void detach(Attached self) noexcept:
    """Out of the base's lists for good. The caller has a reference of its own."""
    pe_list_remove(&self.link)
    if self.is_held:
        self.is_held = False
        Py_DECREF(self)


cdef object find_attached(EventBase base, int kind, attached_test is_it, int number):
    """The object of that kind for which `is_it(object, number)`; None."""
    cdef object found = find_in(&base.held, kind, is_it, number)
    return found if found is not None else find_in(&base.loose, kind, is_it, number)


cdef object find_in(pe_link *head, int kind, attached_test is_it, int number):
    cdef pe_link *at = head.next
    cdef PyObject *op
    while at != head:
        op = attached_of(at)
        at = at.next
        if Py_REFCNT(op) == 0:
            continue  # in the middle of its deallocation: no reference may be taken
        if (<Attached>op).kind == kind and is_it(<Attached>op, number):
            return <Attached>op
    return None


cdef void take_all_out(EventBase base) noexcept:
    """Close all objects of a base in a loop, not one by the other. Their finalizers may run
    any code. It finds the base closing: nobody adds to it."""
    while not pe_list_empty(&base.held) or not pe_list_empty(&base.loose):
        if not pe_list_empty(&base.held):
            take_out(attached_of(base.held.next))
        else:
            take_out(attached_of(base.loose.next))


cdef void take_out(PyObject *op) noexcept:
    """Close one object of a base, which may be in the middle of its deallocation.

    Then a member's finalizer (or a weakref's callback) has led here, the count of
    references is 0, and it must not come back to 0 in here.
    """
    cdef bint is_dying = Py_REFCNT(op) == 0
    if is_dying:
        Py_SET_REFCNT(op, 1)
    else:
        Py_XINCREF(op)
    detachers[(<Attached>op).kind](<Attached>op)
    detach(<Attached>op)
    if is_dying:
        Py_SET_REFCNT(op, 0)
    else:
        Py_XDECREF(op)


# A base owns a reference to each object in `held`: the collector must see them.
cdef traverse_fn inherited_traverse


cdef int traverse(PyObject *op, visit_fn visit, void *arg) noexcept:
    cdef pe_link *head
    cdef pe_link *at
    cdef int result = inherited_traverse(op, visit, arg)
    if result:
        return result
    head = held_head(op)
    at = head.next
    while at != NULL and at != head:
        result = visit(attached_of(at), arg)
        if result:
            return result
        at = at.next
    return 0


cdef inline pe_link *held_head(PyObject *op) noexcept:
    return <pe_link *>(<char *>op + held_offset)


cdef Py_ssize_t held_offset


cdef int prepare_types() except -1:
    global link_offset, held_offset, inherited_traverse
    cdef Attached one = Attached.__new__(Attached)
    cdef EventBase base = EventBase.__new__(EventBase)
    link_offset = <char *>&one.link - <char *><PyObject *>one
    held_offset = <char *>&base.held - <char *><PyObject *>base
    inherited_traverse = (<TypeObject *>EventBase).tp_traverse
    (<TypeObject *>EventBase).tp_traverse = traverse
    return 0


prepare_types()
