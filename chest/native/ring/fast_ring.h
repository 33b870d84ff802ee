/* Offering: the request's side of the ring, where all is as most times: ready, a segment idle, and room in it.
 *
 * `chest/ring/ring.py` is the same in Python (`_offer_line`), and is asked wherever something is not: nothing has happened then.
 * The interpreter's lock is held throughout, and nothing here runs Python code or allocates: to whoever else runs, an offer
 * either has not begun or is over.
 */
#ifndef CHEST_OFFERING_H
#define CHEST_OFFERING_H

#include <Python.h>

#include <structmember.h>

#include "mark.h"
#include "popped.h"
#include "segment.h"

typedef struct {
    PyObject_HEAD
    PyObject *idle; /* segments' bound `write`; another list after each fork */
    Mark mark;
} Offering;

static PyTypeObject *offering_type;
static PyObject *name_offer_line;

/* 1 where the line is kept; 0 where Python has to look, and has to be told the line. Never an exception. */
static int
offered(Offering *self, const char *line, Py_ssize_t size)
{
    if (self->idle == NULL || !PyList_CheckExact(self->idle) || !mark_is_memory(&self->mark) || !mark_is_set(&self->mark)) {
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
offering_offer_line(Offering *self, PyObject *line)
{
    if (PyBytes_CheckExact(line) && offered(self, PyBytes_AS_STRING(line), PyBytes_GET_SIZE(line))) {
        Py_RETURN_TRUE;
    }
    return PyObject_CallMethodOneArg((PyObject *)self, name_offer_line, line);
}

/* The ring behind an `offer`, where it is one of these and nobody's own; a borrowed reference, or NULL. */
static Offering *
ring_of(PyObject *offer)
{
    if (!PyCFunction_CheckExact(offer) || PyCFunction_GET_FUNCTION(offer) != (PyCFunction)offering_offer_line) {
        return NULL;
    }
    return (Offering *)PyCFunction_GET_SELF(offer);
}

static PyObject *
offering_set_mark(Offering *self, PyObject *mark)
{
    mark_clear(&self->mark);
    mark_take(&self->mark, mark);
    Py_RETURN_NONE;
}

static int
offering_traverse(Offering *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->idle);
    Py_VISIT(self->mark.object);
    return 0;
}

static int
offering_clear(Offering *self)
{
    Py_CLEAR(self->idle);
    mark_clear(&self->mark);
    return 0;
}

static void
offering_dealloc(Offering *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    (void)offering_clear(self);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static PyMethodDef offering_methods[] = {
    {"offer_line", (PyCFunction)offering_offer_line, METH_O, PyDoc_STR("As `_offer_line`, most times without a line of Python.")},
    {"_go_by", (PyCFunction)offering_set_mark, METH_O, PyDoc_STR("Lines are written while this mark is set.")},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef offering_members[] = {
    {"_idle", T_OBJECT_EX, offsetof(Offering, idle), 0, PyDoc_STR("The `write` of each segment that nobody owns.")},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot offering_slots[] = {
    {Py_tp_doc, PyDoc_STR("The request's side of a ring; see chest.ring.ring.")},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_dealloc, offering_dealloc},
    {Py_tp_traverse, offering_traverse},
    {Py_tp_clear, offering_clear},
    {Py_tp_methods, offering_methods},
    {Py_tp_members, offering_members},
    {0, NULL},
};

static PyType_Spec offering_spec = {
    .name = "chest.speedups._native.Offering",
    .basicsize = sizeof(Offering),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = offering_slots,
};

#endif
