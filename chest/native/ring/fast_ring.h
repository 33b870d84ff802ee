/* FastRing: the request's side of the ring in the usual case: ready, a segment idle, and room in it.
 *
 * `chest/ring/writer.py` is the same in Python (`_offer_line`), and is asked wherever something is not: nothing has happened then.
 * The interpreter's lock is held throughout, and nothing here runs Python code or allocates: to every other thread, an offer
 * either has not begun or is over.
 */
#ifndef CHEST_FAST_RING_H
#define CHEST_FAST_RING_H

#include <Python.h>

#include <structmember.h>

#include "ring/fork_guard.h"
#include "system/collected.h"
#include "system/popped.h"
#include "ring/segment.h"

typedef struct {
    PyObject_HEAD
    PyObject *idle; /* segments' bound `write`; another list after each fork */
    ForkGuard fork_guard;
} FastRing;

static PyTypeObject *fast_ring_type;

/* 1 if the line is kept; 0 if Python has to look, and has to be told the line. Never an exception. */
static int
offered(FastRing *self, const char *line, Py_ssize_t size)
{
    if (self->idle == NULL || !PyList_CheckExact(self->idle) || !fork_guard_is_memory(&self->fork_guard) || !fork_guard_is_set(&self->fork_guard)) {
        return 0;
    }
    PyObject *idle = Py_NewRef(self->idle), *write = popped(idle);
    int is_kept = 0;
    if (write != NULL) {
        PyObject *segment = PyCFunction_CheckExact(write) ? PyCFunction_GET_SELF(write) : NULL;
        if (segment != NULL && Py_IS_TYPE(segment, segment_type)) {
            is_kept = segment_put(segment, line, size) == 1;
        }
        (void)PyList_Append(idle, write); /* there is the room that it was popped from */
        PyErr_Clear();                    /* of a file that was closed */
        Py_DECREF(write);
    }
    Py_DECREF(idle);
    return is_kept;
}

static PyObject *
fast_ring_offer_line(FastRing *self, PyObject *line)
{
    if (PyBytes_CheckExact(line) && offered(self, PyBytes_AS_STRING(line), PyBytes_GET_SIZE(line))) {
        Py_RETURN_TRUE;
    }
    return PyObject_CallMethod((PyObject *)self, "_offer_line", "(O)", line);
}

/* The ring behind an `offer`, if it is one of these and not a caller's own; a borrowed reference, or NULL. */
static FastRing *
ring_of(PyObject *offer)
{
    if (!PyCFunction_CheckExact(offer) || PyCFunction_GET_FUNCTION(offer) != (PyCFunction)fast_ring_offer_line) {
        return NULL;
    }
    return (FastRing *)PyCFunction_GET_SELF(offer);
}

static PyObject *
fast_ring_set_fork_guard(FastRing *self, PyObject *fork_guard)
{
    fork_guard_clear(&self->fork_guard);
    fork_guard_take(&self->fork_guard, fork_guard);
    Py_RETURN_NONE;
}

#define EACH_OF_FAST_RING(do) do(idle) do(fork_guard.object)

TRAVERSED(fast_ring, FastRing, EACH_OF_FAST_RING)

static int
fast_ring_clear(FastRing *self)
{
    Py_CLEAR(self->idle);
    fork_guard_clear(&self->fork_guard);
    return 0;
}

DEALLOCATED(fast_ring, FastRing)

static PyMethodDef fast_ring_methods[] = {
    {"offer_line", (PyCFunction)fast_ring_offer_line, METH_O, PyDoc_STR("As `_offer_line`, most times without a line of Python.")},
    {"_set_fork_guard", (PyCFunction)fast_ring_set_fork_guard, METH_O, PyDoc_STR("Lines are written while this fork_guard is set.")},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef fast_ring_members[] = {
    {"_idle", T_OBJECT_EX, offsetof(FastRing, idle), 0, PyDoc_STR("The `write` of each segment that has no owner.")},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot fast_ring_slots[] = {
    {Py_tp_doc, PyDoc_STR("The request's side of a ring; see chest.ring.writer.")},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_dealloc, fast_ring_dealloc},
    {Py_tp_traverse, fast_ring_traverse},
    {Py_tp_clear, fast_ring_clear},
    {Py_tp_methods, fast_ring_methods},
    {Py_tp_members, fast_ring_members},
    {0, NULL},
};

static PyType_Spec fast_ring_spec = {
    .name = "chest.native._native.FastRing",
    .basicsize = sizeof(FastRing),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = fast_ring_slots,
};

#endif
