/* Slot: room for one request that is being served, in the header of the ring's file. See chest/ring/in_flight.py. */
#ifndef CHEST_SLOT_H
#define CHEST_SLOT_H

#include <Python.h>

#include <stdatomic.h>
#include <structmember.h>
#include <string.h>

#include "record/line.h"
#include "system/collected.h"

typedef struct {
    PyObject_HEAD
    PyObject *memory; /* the mapping; looked into anew each time, so that it can be closed in between */
    PyObject *home;
    Py_ssize_t offset;
    Py_ssize_t length;
    PyObject *weak; /* tells when the last reference is gone */
} Slot;

static PyTypeObject *slot_type;

static PyObject *
slot_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"memory", "offset", "length", "home", NULL};
    PyObject *memory, *home;
    Py_ssize_t offset, length;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OnnO!", names, &memory, &offset, &length, &PyList_Type, &home)) {
        return NULL;
    }
    Slot *self = (Slot *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->memory = Py_NewRef(memory);
        self->home = Py_NewRef(home);
        self->offset = offset;
        self->length = length;
    }
    return (PyObject *)self;
}

#define EACH_OF_SLOT(do) do(memory) do(home)

COLLECTED(slot_references, Slot, EACH_OF_SLOT)

static void
slot_dealloc(Slot *self)
{
    PyObject_GC_UnTrack(self); /* before the callbacks of weak references, which may collect garbage */
    if (self->weak != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    slot_references_dealloc(self);
}

/* The slot's memory, to be given back with PyBuffer_Release; NULL with an exception if its file was closed. */
static char *
slot_memory(Slot *self, Py_buffer *view)
{
    if (self->memory == NULL || PyObject_GetBuffer(self->memory, view, PyBUF_WRITABLE) < 0) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_ValueError, "the slot is gone");
        }
        return NULL;
    }
    if (self->offset < 0 || self->length < 1 || view->len - self->length < self->offset) {
        PyBuffer_Release(view);
        PyErr_SetString(PyExc_ValueError, "the slot lies outside of its memory");
        return NULL;
    }
    return (char *)view->buf + self->offset;
}

/* The first byte last: a line that was torn by SIGKILL was not begun. What an earlier, longer line left after the NUL is not read. */
static int
slot_write_bytes(Slot *self, const char *line, Py_ssize_t size)
{
    Py_buffer view;
    char *memory = slot_memory(self, &view);
    if (memory == NULL) {
        return -1;
    }
    Py_ssize_t count = size < self->length ? size : self->length;
    if (count > 0) {
        *memory = 0;
        atomic_thread_fence(memory_order_release);
        memcpy(memory + 1, line + 1, (size_t)count - 1);
        if (count < self->length) {
            memory[count] = 0;
        }
        atomic_thread_fence(memory_order_release);
        *memory = *line;
    }
    PyBuffer_Release(&view);
    return 0;
}

/* The first byte is NUL: no request is being served there. */
static int
slot_clear_bytes(Slot *self)
{
    Py_buffer view;
    char *memory = slot_memory(self, &view);
    if (memory == NULL) {
        return -1;
    }
    *memory = 0;
    PyBuffer_Release(&view);
    return 0;
}

static PyObject *
slot_write(Slot *self, PyObject *line)
{
    if (!PyBytes_CheckExact(line)) {
        PyErr_SetString(PyExc_TypeError, "a line is bytes");
        return NULL;
    }
    if (slot_write_bytes(self, PyBytes_AS_STRING(line), PyBytes_GET_SIZE(line)) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
slot_clear(Slot *self, PyObject *Py_UNUSED(ignored))
{
    if (slot_clear_bytes(self) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef slot_methods[] = {
    {"write", (PyCFunction)slot_write, METH_O, PyDoc_STR("Note a request: this line.")},
    {"clear", (PyCFunction)slot_clear, METH_NOARGS, PyDoc_STR("No request is being served here.")},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef slot_members[] = {
    {"home", T_OBJECT_EX, offsetof(Slot, home), READONLY, PyDoc_STR("The list that it is handed back to.")},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Slot, weak), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot slot_slots[] = {
    {Py_tp_doc, PyDoc_STR("Room for one request that is being served; see chest.ring.in_flight.")},
    {Py_tp_new, slot_new},
    {Py_tp_dealloc, slot_dealloc},
    {Py_tp_traverse, slot_references_traverse},
    {Py_tp_clear, slot_references_clear},
    {Py_tp_methods, slot_methods},
    {Py_tp_members, slot_members},
    {0, NULL},
};

static PyType_Spec slot_spec = {
    .name = "chest.native._native.Slot",
    .basicsize = sizeof(Slot),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = slot_slots,
};

#endif
