/* Segment: a mapping with a position, as `mmap.mmap` is, in which to write takes no call, no tuple and no `bytes`.
 *
 * Memory and its end are the base class's; the position is kept here, and `write`, `tell` and `seek` go by it.
 */
#ifndef CHEST_SEGMENT_H
#define CHEST_SEGMENT_H

#include <Python.h>

#include <string.h>

typedef struct {
    Py_ssize_t position;
} Segment;

static PyTypeObject *segment_type;
static Py_ssize_t segment_offset; /* behind what the base class keeps, of which C is told nothing but the size */

static inline Segment *
segment_of(PyObject *object)
{
    return (Segment *)((char *)object + segment_offset);
}

/* 1 where it was written, 0 where there is no room; -1 with an exception where the mapping was closed. */
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

/* 0 where the mapping is there, -1 with an exception where it was closed. */
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

static PyMethodDef segment_methods[] = {
    {"write", segment_write, METH_O, PyDoc_STR("Write these bytes, all or none; ValueError where they have no room.")},
    {"tell", segment_tell, METH_NOARGS, PyDoc_STR("Where the next write begins.")},
    {"seek", segment_seek, METH_O, PyDoc_STR("Where the next write is to begin, from the first byte on.")},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot segment_slots[] = {
    {Py_tp_doc, PyDoc_STR("A mapping that a ring writes into; see chest.ring.ring.")},
    {Py_tp_methods, segment_methods},
    {0, NULL},
};

static PyType_Spec segment_spec = {
    .name = "chest.speedups._native.Segment",
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
    const Py_ssize_t step = (Py_ssize_t)sizeof(Segment);
    segment_offset = (((PyTypeObject *)base)->tp_basicsize + step - 1) / step * step;
    segment_spec.basicsize = (int)(segment_offset + step);
    return base;
}

#endif
