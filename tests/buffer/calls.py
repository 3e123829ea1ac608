"""Every method of a Buffer and arguments that it takes, for tests that need all of them."""

import os

from pyevent import EVBUFFER_CB_ENABLED, Buffer, FileSegment

PATH = os.path.abspath(__file__)


def callback(buf, change, arg):
    pass


def entry():
    return Buffer().add_cb(callback)


# Name: what makes arguments that an open Buffer with some bytes takes, given a base and a socket.
CALLS = {
    "__bool__": lambda base, fd: (),
    "__bytes__": lambda base, fd: (),
    "__contains__": lambda base, fd: (b"x",),
    "__enter__": lambda base, fd: (),
    "__getitem__": lambda base, fd: (slice(0, 2),),
    "__iter__": lambda base, fd: (),
    "__len__": lambda base, fd: (),
    "__next__": lambda base, fd: (),
    "add": lambda base, fd: (b"data",),
    "add_buffer": lambda base, fd: (Buffer(b"other"),),
    "add_buffer_reference": lambda base, fd: (Buffer(b"shared"),),
    "add_cb": lambda base, fd: (callback, None),
    "add_file": lambda base, fd: (PATH, 1, 10),
    "add_file_segment": lambda base, fd: (FileSegment(PATH), 0, 10),
    "add_iovec": lambda base, fd: ([b"one", b"two"],),
    "add_reference": lambda base, fd: (bytearray(b"lent"),),
    "cb_clear_flags": lambda base, fd: (entry(), EVBUFFER_CB_ENABLED),
    "cb_set_flags": lambda base, fd: (entry(), EVBUFFER_CB_ENABLED),
    "clear_flags": lambda base, fd: (0,),
    "commit": lambda base, fd: (Buffer().reserve(10), 5),
    "copyout": lambda base, fd: (3,),
    "copyout_from": lambda base, fd: (1, 3),
    "defer_callbacks": lambda base, fd: (base,),
    "drain": lambda base, fd: (1,),
    "expand": lambda base, fd: (100,),
    "find": lambda base, fd: (b"x", 0, 5),
    "freeze": lambda base, fd: (False,),
    "get_contiguous_space": lambda base, fd: (),
    "get_length": lambda base, fd: (),
    "get_max_read": lambda base, fd: (),
    "peek": lambda base, fd: (2, 0),
    "prepend": lambda base, fd: (b"data",),
    "prepend_buffer": lambda base, fd: (Buffer(b"other"),),
    "pullup": lambda base, fd: (2,),
    "read": lambda base, fd: (fd, 10),
    "readlines": lambda base, fd: (1, -1, -1),
    "readln": lambda base, fd: (1, -1),
    "remove": lambda base, fd: (1,),
    "remove_buffer": lambda base, fd: (Buffer(), 1),
    "remove_cb": lambda base, fd: (callback, None),
    "remove_cb_entry": lambda base, fd: (entry(),),
    "reserve": lambda base, fd: (10,),
    "search": lambda base, fd: (b"x", 0, 5),
    "search_eol": lambda base, fd: (0, 1),
    "search_range": lambda base, fd: (b"x", 0, 5),
    "set_flags": lambda base, fd: (0,),
    "set_max_read": lambda base, fd: (100,),
    "unfreeze": lambda base, fd: (True,),
    "write": lambda base, fd: (fd, 2),
    "write_atmost": lambda base, fd: (fd, 2),
    "writelines": lambda base, fd: ([b"one", b"two"],),
}


def names_of(cls):
    """What an object of that class answers to, and not any object."""
    skipped = {"__doc__", "__init__", "__init_subclass__", "__new__", "__reduce__", "__repr__"}
    skipped |= {"__subclasshook__"}
    return {
        name
        for name in dir(cls)
        if getattr(cls, name, None) is not getattr(object, name, None) and name not in skipped
    }
