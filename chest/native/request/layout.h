/* Layout: the offsets of a RequestContext's `__slots__`, found out once from the class itself. */
#ifndef CHEST_LAYOUT_H
#define CHEST_LAYOUT_H

#include <Python.h>
#include <structmember.h>

typedef struct {
    PyTypeObject *type;
    Py_ssize_t metadata;
    Py_ssize_t headers;
    Py_ssize_t environ;
    Py_ssize_t in_flight;
    Py_ssize_t request_id;
    Py_ssize_t scheme;
    Py_ssize_t server_start_response;
    Py_ssize_t server_write;
    Py_ssize_t status;
} Layout;

static Py_ssize_t
offset_of(PyTypeObject *type, const char *name)
{
    PyObject *found = PyObject_GetAttrString((PyObject *)type, name);
    if (found == NULL) {
        return -1;
    }
    Py_ssize_t offset = -1;
    if (Py_IS_TYPE(found, &PyMemberDescr_Type)) {
        offset = ((PyMemberDescrObject *)found)->d_member->offset;
    }
    else {
        PyErr_Format(PyExc_TypeError, "%s.%s is no slot", type->tp_name, name);
    }
    Py_DECREF(found);
    return offset;
}

/* Takes a reference to the class; -1 with an exception if it is none of the kind. */
static int
layout_of(Layout *layout, PyObject *type)
{
    if (!PyType_Check(type) || !PyType_IsSubtype((PyTypeObject *)type, &PyDict_Type)) {
        PyErr_SetString(PyExc_TypeError, "a context is a dict");
        return -1;
    }
    PyTypeObject *context = (PyTypeObject *)type;
    if ((layout->metadata = offset_of(context, "_metadata")) < 0 || (layout->headers = offset_of(context, "_headers")) < 0
        || (layout->environ = offset_of(context, "_environ")) < 0 || (layout->in_flight = offset_of(context, "_in_flight")) < 0
        || (layout->request_id = offset_of(context, "_request_id")) < 0 || (layout->scheme = offset_of(context, "_scheme")) < 0
        || (layout->server_start_response = offset_of(context, "_server_start_response")) < 0
        || (layout->server_write = offset_of(context, "_server_write")) < 0
        || (layout->status = offset_of(context, "_status")) < 0) {
        return -1;
    }
    layout->type = (PyTypeObject *)Py_NewRef(type);
    return 0;
}

#define FIELD(object, offset) (*(PyObject **)((char *)(object) + (offset)))

/* Takes the reference. */
static inline void
set_field(PyObject *object, Py_ssize_t offset, PyObject *value)
{
    PyObject *before = FIELD(object, offset);
    FIELD(object, offset) = value;
    Py_XDECREF(before);
}

#endif
