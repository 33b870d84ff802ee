/* Metadata: the fields of `chest.request.metadata.RequestMetadata`: what was said of a request beside its variables. */
#ifndef CHEST_METADATA_H
#define CHEST_METADATA_H

#include <Python.h>

#include <structmember.h>

#include "system/collected.h"

/* What another's metadata take over. */
#define EACH_SAID(do)                                                                                                       \
    do(request_id) do(route) do(path) do(error) do(trace) do(user) do(known_attributes) do(attributes)

#define EACH_OF_METADATA(do)                                                                                                \
    EACH_SAID(do)                                                                                                           \
    do(names)    /* of an adapter's: what becomes variables at the end */                                                   \
    do(dispatch) /* the `Dispatch` that brings them over; NULL if Python does */

typedef struct {
    PyObject_HEAD
    EACH_OF_METADATA(DECLARE_FIELD)
    Py_ssize_t written_bytes;
    char has_more;
    char is_complete;
    char is_excluded;
    char is_over;
} Metadata;

static PyTypeObject *metadata_type;

static inline int
is_said(PyObject *field)
{
    return field != NULL && field != Py_None;
}

COLLECTED(metadata, Metadata, EACH_OF_METADATA)

static PyObject *
metadata_take_over(Metadata *self, PyObject *other)
{
    if (!PyObject_TypeCheck(other, metadata_type)) {
        PyErr_SetString(PyExc_TypeError, "only metadata can be taken over");
        return NULL;
    }
    Metadata *said = (Metadata *)other;
#define TAKE(field) Py_XSETREF(self->field, Py_XNewRef(said->field));
    EACH_SAID(TAKE)
#undef TAKE
    self->written_bytes = said->written_bytes;
    self->has_more = said->has_more;
    self->is_complete = said->is_complete;
    self->is_excluded = said->is_excluded;
    Py_RETURN_NONE;
}

static PyMethodDef metadata_methods[] = {
    {"take_over", (PyCFunction)metadata_take_over, METH_O, PyDoc_STR("Say what these metadata say.")},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef metadata_members[] = {
#define MEMBER(field) {#field, T_OBJECT, offsetof(Metadata, field), 0, NULL},
    EACH_OF_METADATA(MEMBER)
#undef MEMBER
    {"written_bytes", T_PYSSIZET, offsetof(Metadata, written_bytes), 0, NULL},
    {"has_more", T_BOOL, offsetof(Metadata, has_more), 0, NULL},
    {"is_complete", T_BOOL, offsetof(Metadata, is_complete), 0, NULL},
    {"is_excluded", T_BOOL, offsetof(Metadata, is_excluded), 0, NULL},
    {"is_over", T_BOOL, offsetof(Metadata, is_over), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot metadata_slots[] = {
    {Py_tp_doc, PyDoc_STR("What was said of a request beside its variables; see chest.request.metadata.")},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_dealloc, metadata_dealloc},
    {Py_tp_traverse, metadata_traverse},
    {Py_tp_clear, metadata_clear},
    {Py_tp_methods, metadata_methods},
    {Py_tp_members, metadata_members},
    {0, NULL},
};

static PyType_Spec metadata_spec = {
    .name = "chest.native._native.Metadata",
    .basicsize = sizeof(Metadata),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = metadata_slots,
};

#endif
