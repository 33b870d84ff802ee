/* ForkGuard: the byte that reads 0 in a forked child. See chest/system/fork_guard.py. */
#ifndef CHEST_FORK_GUARD_H
#define CHEST_FORK_GUARD_H

#include <Python.h>

typedef struct {
    PyObject *object;
    Py_buffer view; /* held for good, so that one look is one load; empty if the fork_guard is no memory, as a PidMark is */
} ForkGuard;

/* Takes a reference; cannot fail. */
static void
fork_guard_take(ForkGuard *fork_guard, PyObject *object)
{
    fork_guard->object = Py_NewRef(object);
    memset(&fork_guard->view, 0, sizeof(fork_guard->view));
    if (PyObject_CheckBuffer(object) && PyObject_GetBuffer(object, &fork_guard->view, PyBUF_SIMPLE) == 0 && fork_guard->view.len < 1) {
        PyBuffer_Release(&fork_guard->view);
    }
    PyErr_Clear();
}

static void
fork_guard_clear(ForkGuard *fork_guard)
{
    PyBuffer_Release(&fork_guard->view); /* of an empty one nothing */
    Py_CLEAR(fork_guard->object);
}

static inline int
fork_guard_is_memory(const ForkGuard *fork_guard)
{
    return fork_guard->view.obj != NULL;
}

/* Whether this process is ready for requests: 0 also if that cannot be found out. */
static inline int
fork_guard_is_set(const ForkGuard *fork_guard)
{
    if (fork_guard_is_memory(fork_guard)) {
        return *(volatile const char *)fork_guard->view.buf != 0;
    }
    PyObject *zero = fork_guard->object == NULL ? NULL : PyLong_FromLong(0);
    PyObject *value = zero == NULL ? NULL : PyObject_GetItem(fork_guard->object, zero);
    Py_XDECREF(zero);
    if (value == NULL) { /* a PidMark is Python: what a signal handler raised in there is the caller's to pass on */
        return 0;
    }
    int is_set = PyObject_IsTrue(value);
    Py_DECREF(value);
    return is_set == 1;
}

#endif
