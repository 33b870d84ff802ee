/* Notes: where the slots of requests lie that nobody owns, so that taking one is one load. See chest/ring/in_flight.py. */
#ifndef CHEST_NOTES_H
#define CHEST_NOTES_H

#include <Python.h>

#include <structmember.h>

typedef struct {
    PyObject_HEAD
    PyObject *idle;
} Notes;

static PyTypeObject *notes_type;

static int
notes_traverse(Notes *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->idle);
    return 0;
}

static int
notes_clear(Notes *self)
{
    Py_CLEAR(self->idle);
    return 0;
}

static void
notes_dealloc(Notes *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    (void)notes_clear(self);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static PyMemberDef notes_members[] = {
    {"idle", T_OBJECT_EX, offsetof(Notes, idle), 0, PyDoc_STR("Slots that nobody owns; another list after each open.")},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot notes_slots[] = {
    {Py_tp_doc, PyDoc_STR("Which requests are being served; see chest.ring.in_flight.")},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_dealloc, notes_dealloc},
    {Py_tp_traverse, notes_traverse},
    {Py_tp_clear, notes_clear},
    {Py_tp_members, notes_members},
    {0, NULL},
};

static PyType_Spec notes_spec = {
    .name = "chest.speedups._native.Notes",
    .basicsize = sizeof(Notes),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = notes_slots,
};

#endif
