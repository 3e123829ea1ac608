"""Buffer.readln and Buffer.add, called as fast as Python can call.

The wrapper that Cython makes for a method with keywords takes longer than taking a line out
of the ring. So the most frequent calls, readln() and readln(LF) and add(bytes), are
served by functions of our own in front of those wrappers, which have all the others.
"""

from cpython.object cimport PyObject

from pyevent._native.buf.buffer cimport Buffer
from pyevent._native.c.buffer cimport *

from pyevent.constants import EolStyle


cdef extern from "Python.h":
    ctypedef struct TypeObject "PyTypeObject":
        PyObject *tp_dict
    ctypedef struct MethodDef "PyMethodDef":
        const char *ml_name
        void *ml_meth
        int ml_flags
        const char *ml_doc
    ctypedef struct MethodDescr "PyMethodDescrObject":
        MethodDef *d_method
    bint is_bytes "PyBytes_CheckExact"(PyObject *)
    const char *bytes_at "PyBytes_AS_STRING"(PyObject *)
    Py_ssize_t bytes_len "PyBytes_GET_SIZE"(PyObject *)
    PyObject *new_bytes "PyBytes_FromStringAndSize"(const char *, Py_ssize_t)
    object PyDescr_NewMethod(TypeObject *type, MethodDef *method)
    PyObject *PyDict_GetItemString(PyObject *dict, const char *key)
    int PyDict_SetItemString(PyObject *dict, const char *key, object value) except -1
    void PyType_Modified(TypeObject *type)
    int METH_FASTCALL, METH_KEYWORDS

cdef extern from *:
    """
    static inline PyObject *pe_py_none(void) {
        return Py_NewRef(Py_None);
    }
    """
    PyObject *pe_py_none()


ctypedef PyObject *(*fast_method)(PyObject *, PyObject **, Py_ssize_t, PyObject *) noexcept

cdef MethodDef readln_def, add_def
cdef fast_method readln_with_keywords, add_with_keywords

# What callers have, so that a pointer says which one it is; other numbers go the long way.
cdef object lf_object = EolStyle.EVBUFFER_EOL_LF
cdef object crlf_object = EolStyle.EVBUFFER_EOL_CRLF


cdef PyObject *readln_fast(PyObject *op, PyObject **args, Py_ssize_t nargs,
                           PyObject *keywords) noexcept:
    cdef evbuffer *buf = (<Buffer>op).buf
    cdef evbuffer_eol_style eol = EVBUFFER_EOL_CRLF
    cdef const unsigned char *data
    cdef size_t n, eol_len
    cdef PyObject *line
    if keywords != NULL or nargs > 1 or buf == NULL:
        return readln_with_keywords(op, args, nargs, keywords)
    if nargs == 1 and args[0] == <PyObject *>lf_object:
        eol = EVBUFFER_EOL_LF
    elif nargs == 1 and args[0] != <PyObject *>crlf_object:
        return readln_with_keywords(op, args, nargs, keywords)
    if buf.len == 0:
        return pe_py_none()
    data = pe_evbuffer_near_line(buf, eol, &n, &eol_len)
    if data == NULL:
        return readln_with_keywords(op, args, nargs, keywords)
    line = new_bytes(<const char *>data, <Py_ssize_t>n)
    if line != NULL:
        pe_evbuffer_take_near(buf, n + eol_len)
    return line


cdef PyObject *add_fast(PyObject *op, PyObject **args, Py_ssize_t nargs,
                        PyObject *keywords) noexcept:
    cdef evbuffer *buf = (<Buffer>op).buf
    if (keywords == NULL and nargs == 1 and buf != NULL and is_bytes(args[0])
            and pe_evbuffer_add_near(buf, bytes_at(args[0]), <size_t>bytes_len(args[0]))):
        return pe_py_none()
    return add_with_keywords(op, args, nargs, keywords)


cdef fast_method put_in_front(const char *name, MethodDef *ours, fast_method fast) except NULL:
    """Have `fast` called for the method of that name; what was called until now."""
    cdef TypeObject *buffer_type = <TypeObject *>Buffer
    cdef MethodDef *made = (<MethodDescr *>PyDict_GetItemString(buffer_type.tp_dict, name)).d_method
    if made.ml_flags == METH_FASTCALL | METH_KEYWORDS:  # else leave it
        ours[0] = made[0]
        ours.ml_meth = <void *>fast
        PyDict_SetItemString(buffer_type.tp_dict, name, PyDescr_NewMethod(buffer_type, ours))
        PyType_Modified(buffer_type)
    return <fast_method>made.ml_meth


readln_with_keywords = put_in_front("readln", &readln_def, readln_fast)
add_with_keywords = put_in_front("add", &add_def, add_fast)
