/* Segment: a mapping with a position, as `mmap.mmap` is, in which to write takes no call, no tuple and no `bytes`.
 *
 * Memory and its end are the base class's; the position is kept here, and `write`, `tell` and `seek` go by it.
 */
#ifndef CHEST_SEGMENT_H
#define CHEST_SEGMENT_H

#include <Python.h>

#include <structmember.h>
#include <string.h>

#include "system/guard.h"

typedef struct {
    Py_ssize_t position;
    Guarded *range; /* of a file that is mapped here, see mapping.h */
} Segment;

static PyTypeObject *segment_type;
static PyObject *name_close;
static Py_ssize_t segment_offset; /* behind what the base class keeps, of which C is told nothing but the size */

static inline Segment *
segment_of(PyObject *object)
{
    return (Segment *)((char *)object + segment_offset);
}

/* 1 if it was written, 0 if there is no room; -1 with an exception if the mapping was closed. */
static int
segment_put(PyObject *object, const char *bytes, Py_ssize_t size)
{
    Segment *self = segment_of(object);
    Py_buffer view;
    if (PyObject_GetBuffer(object, &view, PyBUF_WRITABLE) < 0) {
        return -1;
    }
    int has_room = self->position >= 0 && self->position <= view.len && size <= view.len - self->position;
    if (has_room) {
        memcpy((char *)view.buf + self->position, bytes, (size_t)size);
        self->position += size;
    }
    PyBuffer_Release(&view);
    return has_room;
}

/* 0 if the mapping is there, -1 with an exception if it was closed. */
static int
segment_is_open(PyObject *self)
{
    Py_buffer view;
    if (PyObject_GetBuffer(self, &view, PyBUF_SIMPLE) < 0) {
        return -1;
    }
    PyBuffer_Release(&view);
    return 0;
}

static PyObject *
segment_write(PyObject *self, PyObject *bytes)
{
    Py_buffer view;
    if (segment_is_open(self) < 0 || PyObject_GetBuffer(bytes, &view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    Py_ssize_t size = view.len;
    int is_written = segment_put(self, view.buf, size);
    PyBuffer_Release(&view);
    if (is_written == 0) {
        PyErr_SetString(PyExc_ValueError, "data out of range");
    }
    return is_written == 1 ? PyLong_FromSsize_t(size) : NULL;
}

static PyObject *
segment_tell(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return segment_is_open(self) < 0 ? NULL : PyLong_FromSsize_t(segment_of(self)->position);
}

static PyObject *
segment_seek(PyObject *self, PyObject *place)
{
    Py_ssize_t size = segment_is_open(self) < 0 ? -1 : PyObject_Size(self);
    Py_ssize_t position = size < 0 ? -1 : PyNumber_AsSsize_t(place, PyExc_OverflowError);
    if (PyErr_Occurred()) {
        return NULL;
    }
    if (position < 0 || position > size) {
        PyErr_SetString(PyExc_ValueError, "seek out of range");
        return NULL;
    }
    segment_of(self)->position = position;
    Py_RETURN_NONE;
}

/* Unmapped by the base class, and then guarded no longer; it raises for a caller that still reads it. */
static PyObject *
segment_close(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *close = PyObject_GetAttr((PyObject *)segment_type->tp_base, name_close);
    PyObject *closed = close == NULL ? NULL : PyObject_CallOneArg(close, self);
    Py_XDECREF(close);
    if (closed != NULL) {
        unguarded(&segment_of(self)->range);
    }
    return closed;
}

static void
segment_finalize(PyObject *self)
{
    unguarded(&segment_of(self)->range);
}

static PyObject *
segment_faults(PyObject *self, void *Py_UNUSED(closure))
{
    const Guarded *range = segment_of(self)->range;
    return PyLong_FromLong(range == NULL ? 0 : atomic_load(&range->faults));
}

static PyGetSetDef segment_getset[] = {
    {"faults", segment_faults, NULL, PyDoc_STR("How many pages its file no longer had, which are memory now."), NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef segment_methods[] = {
    {"write", segment_write, METH_O, PyDoc_STR("Write these bytes, all or none; ValueError if they do not fit.")},
    {"tell", segment_tell, METH_NOARGS, PyDoc_STR("The offset of the next write.")},
    {"close", segment_close, METH_NOARGS, PyDoc_STR("Unmap it.")},
    {"seek", segment_seek, METH_O, PyDoc_STR("Set the offset of the next write.")},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot segment_slots[] = {
    {Py_tp_doc, PyDoc_STR("A mapping that a ring writes into; see chest.ring.writer.")},
    {Py_tp_methods, segment_methods},
    {Py_tp_getset, segment_getset},
    {Py_tp_finalize, segment_finalize},
    {0, NULL},
};

static PyType_Spec segment_spec = {
    .name = "chest.native._native.Segment",
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = segment_slots,
};

/* A new reference to `mmap.mmap`, whose size decides where the position lies. */
static PyObject *
segment_base(void)
{
    PyObject *mmap = PyImport_ImportModule("mmap");
    PyObject *base = mmap == NULL ? NULL : PyObject_GetAttrString(mmap, "mmap");
    Py_XDECREF(mmap);
    if (base == NULL) {
        return NULL;
    }
    if (!PyType_Check(base) || ((PyTypeObject *)base)->tp_itemsize) {
        PyErr_SetString(PyExc_TypeError, "mmap.mmap is no class that a position can be added to");
        Py_DECREF(base);
        return NULL;
    }
    const Py_ssize_t step = (Py_ssize_t)_Alignof(Segment);
    segment_offset = (((PyTypeObject *)base)->tp_basicsize + step - 1) / step * step;
    segment_spec.basicsize = (int)(segment_offset + (Py_ssize_t)sizeof(Segment));
    return base;
}

#endif
