/* Mark: the byte that reads 0 in a forked child. See chest/ring/process_mark.py. */
#ifndef CHEST_MARK_H
#define CHEST_MARK_H

#include <Python.h>

typedef struct {
    PyObject *object;
    Py_buffer view; /* held for good, so that one look is one load; empty where the mark is no memory, as a PidMark is */
} Mark;

/* Takes a reference; there is no way for it to fail. */
static void
mark_take(Mark *mark, PyObject *object)
{
    mark->object = Py_NewRef(object);
    memset(&mark->view, 0, sizeof(mark->view));
    if (PyObject_CheckBuffer(object) && PyObject_GetBuffer(object, &mark->view, PyBUF_SIMPLE) == 0 && mark->view.len < 1) {
        PyBuffer_Release(&mark->view);
    }
    PyErr_Clear();
}

static void
mark_clear(Mark *mark)
{
    PyBuffer_Release(&mark->view); /* of an empty one nothing */
    Py_CLEAR(mark->object);
}

static inline int
mark_is_memory(const Mark *mark)
{
    return mark->view.obj != NULL;
}

/* Whether this process is ready for requests: 0 also where that cannot be found out. */
static inline int
mark_is_set(const Mark *mark)
{
    if (mark_is_memory(mark)) {
        return *(volatile const char *)mark->view.buf != 0;
    }
    PyObject *zero = mark->object == NULL ? NULL : PyLong_FromLong(0);
    PyObject *value = zero == NULL ? NULL : PyObject_GetItem(mark->object, zero);
    Py_XDECREF(zero);
    if (value == NULL) { /* a PidMark is Python: what a signal handler raised in there is the caller's to pass on */
        return 0;
    }
    int is_set = PyObject_IsTrue(value);
    Py_DECREF(value);
    return is_set == 1;
}

#endif
