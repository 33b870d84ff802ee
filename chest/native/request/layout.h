/* Layout: the offsets of a RequestContext's `__slots__`, found out once from the class itself. */
#ifndef CHEST_LAYOUT_H
#define CHEST_LAYOUT_H

#include <Python.h>
#include <structmember.h>

/* Of these, each with a `_` before its name. */
#define EACH_SLOT(do)                                                                                                       \
    do(metadata) do(headers) do(environ) do(in_flight) do(request_id) do(scheme) do(server_start_response) do(server_write)   \
    do(status)

#define DECLARE_OFFSET(slot) Py_ssize_t slot;

typedef struct {
    PyTypeObject *type;
    EACH_SLOT(DECLARE_OFFSET)
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
#define FIND(slot)                                                                                                          \
    if ((layout->slot = offset_of(context, "_" #slot)) < 0) {                                                               \
        return -1;                                                                                                          \
    }
    EACH_SLOT(FIND)
#undef FIND
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
