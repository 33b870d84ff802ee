/* popped: the last of a list, as `list.pop` gives it; a new reference, or NULL and no exception if the list is empty. */
#ifndef CHEST_POPPED_H
#define CHEST_POPPED_H

#include <Python.h>

/* The list keeps its room, which is needed again when things are handed back: `list.pop` would give it up bit by bit. */
static inline PyObject *
popped(PyObject *list)
{
    Py_ssize_t count = PyList_GET_SIZE(list);
    if (count == 0) {
        return NULL;
    }
    PyObject *last = PyList_GET_ITEM(list, count - 1);
    Py_SET_SIZE(list, count - 1);
    return last;
}

#endif
