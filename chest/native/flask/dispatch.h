/* Dispatch: Flask's `full_dispatch_request`, wrapped, for a request of the usual kind; and its end, which takes what is on `g`.
 *
 * `adapters/flask_chest/hooks.py` is the same in Python. It is asked, before anything has been done, if something is unusual:
 * a request that is dispatched a second time, or is not recorded, a rule that is new, a `g` that was used before, ProxyFix further in.
 */
#ifndef CHEST_DISPATCH_H
#define CHEST_DISPATCH_H

#include <Python.h>

#include <structmember.h>

#include "flask/passage.h"
#include "system/collected.h"

static PyObject *
dispatch_vectorcall(PyObject *callable, PyObject *const *args, size_t flags, PyObject *named)
{
    Dispatch *self = (Dispatch *)callable;
    if (self->in_python == NULL) {
        return PyErr_Format(PyExc_RuntimeError, "the application was collected");
    }
    Dispatched found = {0};
    Metadata *metadata = dispatched(self, &found);
    dispatched_clear(&found);
    if (metadata == NULL) {
        return pass_over_error() < 0 ? NULL : PyObject_Vectorcall(self->in_python, args, flags, named);
    }
    PyObject *response = PyObject_Vectorcall(self->dispatch, args, flags, named);
    int is_complete = response == NULL ? 0 : note_user(self, metadata) < 0 ? -1 : is_whole(self, response, metadata);
    if (is_complete < 0) {
        Py_CLEAR(response);
    }
    else if (is_complete) {
        metadata->is_complete = 1;
    }
    Py_DECREF(metadata);
    return response;
}

#define EACH_OF_DISPATCH(do) EACH_PART_OF_DISPATCH(do) do(layout.type)

COLLECTED(dispatch, Dispatch, EACH_OF_DISPATCH)

/* -1 with an exception if a part is missing, or is not what is done with it. */
static int
take_parts_of_dispatch(Dispatch *self, PyObject *named)
{
    EACH_PART_OF_DISPATCH(TAKE_FIELD)
    if (!PyType_Check(self->served_class) || !PyType_IsSubtype((PyTypeObject *)self->served_class, metadata_type)
        || !PyAnySet_Check(self->served_kinds) || !PyAnySet_Check(self->whole_kinds) || !PyAnySet_Check(self->known_names)
        || !PyAnySet_Check(self->data_types) || !PyDict_CheckExact(self->routes) || !PyContextVar_CheckExact(self->request_context)
        || !PyContextVar_CheckExact(self->app_context)) {
        PyErr_SetString(PyExc_TypeError, "a part of the dispatch is of another type");
        return -1;
    }
    return layout_of(&self->layout, self->context_class);
}

static PyObject *
dispatch_new(PyTypeObject *type, PyObject *args, PyObject *named)
{
    Dispatch *self = PyTuple_GET_SIZE(args) == 0 && named != NULL ? (Dispatch *)type->tp_alloc(type, 0) : NULL;
    if (self == NULL) {
        return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_TypeError, "a dispatch takes its parts by name");
    }
    self->vectorcall = dispatch_vectorcall;
    if (take_parts_of_dispatch(self, named) < 0) {
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

static PyMemberDef dispatch_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Dispatch, vectorcall), READONLY, NULL},
    {"__wrapped__", T_OBJECT_EX, offsetof(Dispatch, in_python), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot dispatch_slots[] = {
    {Py_tp_doc, PyDoc_STR("Flask's full_dispatch_request, wrapped; see flask_chest.hooks.")},
    {Py_tp_new, dispatch_new},
    {Py_tp_dealloc, dispatch_dealloc},
    {Py_tp_traverse, dispatch_traverse},
    {Py_tp_clear, dispatch_clear},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_members, dispatch_members},
    {0, NULL},
};

static PyType_Spec dispatch_spec = {
    .name = "chest.native._native.Dispatch",
    .basicsize = sizeof(Dispatch),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL,
    .slots = dispatch_slots,
};

#endif
