/* StartResponse: the `__call__` of a context's class, if the application's answer is a usual one.
 *
 * `chest/request/served.py` is the same in Python, and is asked wherever something is: `exc_info`, headers that are no list of
 * pairs of texts, an id that the application changed.
 */
#ifndef CHEST_START_RESPONSE_H
#define CHEST_START_RESPONSE_H

#include <Python.h>

#include <structmember.h>

#include "request/headers.h"
#include "request/layout.h"
#include "request/left.h"
#include "request/metadata.h"
#include "system/collected.h"

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    Layout layout;
    PyObject *in_python;
    PyObject *write;
    Left left;
    PyObject *header; /* None if no id is echoed */
} StartResponse;

static PyTypeObject *start_response_type;

/* 1 if the headers stay as they are: the application set the header itself, or the response is immutable. 0 if not, -1 if
 * Python has to look. */
static int
stay_as_they_are(PyObject *headers, PyObject *header)
{
    PyObject *name, *value;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(headers); i++) {
        if (!header_at(headers, i, &name, &value) || !is_ascii(name)) {
            return -1;
        }
        if (is_named(name, PyUnicode_DATA(header), PyUnicode_GET_LENGTH(header))) {
            return 1;
        }
        if (is_named(name, CACHE_CONTROL, sizeof(CACHE_CONTROL) - 1)) {
            if (!is_ascii(value)) {
                return -1;
            }
            if (is_immutable(value)) {
                return 1;
            }
        }
    }
    return 0;
}

/* A new reference to the headers as they are sent; NULL, and perhaps no exception, if Python has to make them. */
static PyObject *
headers_with_id(StartResponse *self, PyObject *context, PyObject *headers)
{
    if (self->header == Py_None) {
        return Py_NewRef(headers);
    }
    PyObject *metadata = FIELD(context, self->layout.metadata);
    if (!PyList_CheckExact(headers) || metadata == NULL) {
        return NULL;
    }
    if (metadata != Py_None
        && (!PyObject_TypeCheck(metadata, metadata_type) || is_said(((Metadata *)metadata)->request_id))) {
        return NULL;
    }
    int is_set = stay_as_they_are(headers, self->header);
    if (is_set) {
        return is_set < 0 ? NULL : Py_NewRef(headers);
    }
    /* Held: the allocation may collect garbage, whose finalizers may do anything, the end of this request included. */
    PyObject *request_id = Py_XNewRef(FIELD(context, self->layout.request_id));
    PyObject *pair = request_id == NULL ? NULL : PyTuple_Pack(2, self->header, request_id);
    Py_XDECREF(request_id);
    if (pair == NULL) {
        return NULL;
    }
    /* The application's own list is never changed. */
    Py_ssize_t count = PyList_GET_SIZE(headers);
    PyObject *with_id = PyList_New(count + 1);
    if (with_id == NULL || PyList_GET_SIZE(headers) != count) { /* a finalizer changed it */
        Py_XDECREF(with_id);
        Py_DECREF(pair);
        return NULL;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyList_SET_ITEM(with_id, i, Py_NewRef(PyList_GET_ITEM(headers, i)));
    }
    PyList_SET_ITEM(with_id, count, pair);
    return with_id;
}

static PyObject *
start_response_vectorcall(PyObject *callable, PyObject *const *args, size_t flags, PyObject *names)
{
    StartResponse *self = (StartResponse *)callable;
    if (self->in_python == NULL) {
        return PyErr_Format(PyExc_RuntimeError, "the application was collected");
    }
    PyObject *server = NULL, *headers = NULL;
    Py_ssize_t count = PyVectorcall_NARGS(flags);
    int has_no_error = count == 3 || (count == 4 && args[3] == Py_None); /* Bottle says None */
    if (names == NULL && has_no_error && PyObject_TypeCheck(args[0], self->layout.type)) {
        if (read_left(&self->left, &self->layout, args[0]) < 0) {
            return NULL;
        }
        server = Py_XNewRef(FIELD(args[0], self->layout.server_start_response)); /* it may be changed in between */
        headers = server == NULL || server == Py_None ? NULL : headers_with_id(self, args[0], args[2]);
    }
    if (headers == NULL) {
        Py_XDECREF(server);
        return pass_over_error() < 0 ? NULL : PyObject_Vectorcall(self->in_python, args, flags, names);
    }
    PyObject *context = args[0], *status = args[1], *passed[2] = {status, headers};
    PyObject *server_write = PyObject_Vectorcall(server, passed, 2, NULL);
    Py_DECREF(server);
    if (server_write == NULL) {
        Py_DECREF(headers);
        return NULL;
    }
    set_field(context, self->layout.server_write, server_write);
    set_field(context, self->layout.headers, headers);
    /* Only now: what the server refused (said twice, or after it sent the first) is not sent. */
    set_field(context, self->layout.status, Py_NewRef(status));
    return PyMethod_New(self->write, context);
}

static PyObject *
start_response_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(kwargs))
{
    PyObject *context_class, *header;
    Left left;
    if (!PyArg_ParseTuple(args, "OOOOO!", &context_class, &header, &left.read_left, &left.known_of, &PyType_Type, &left.metadata_class)) {
        return NULL;
    }
    if (header != Py_None && (!PyUnicode_CheckExact(header) || !PyUnicode_IS_COMPACT_ASCII(header))) {
        PyErr_SetString(PyExc_TypeError, "the name of a header is ASCII");
        return NULL;
    }
    StartResponse *self = (StartResponse *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->vectorcall = start_response_vectorcall;
    self->header = Py_NewRef(header);
    self->in_python = PyObject_GetAttrString(context_class, "__call__");
    self->write = PyObject_GetAttrString(context_class, "_write");
    self->left = left;
    EACH_OF_LEFT(HOLD_FIELD)
    if (self->in_python == NULL || self->write == NULL || layout_of(&self->layout, context_class) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

#define EACH_OF_START_RESPONSE(do) do(layout.type) do(in_python) do(write) do(header) EACH_OF_LEFT(do)

COLLECTED(start_response, StartResponse, EACH_OF_START_RESPONSE)

static PyObject *
start_response_get(PyObject *self, PyObject *context, PyObject *Py_UNUSED(type))
{
    return context == NULL || context == Py_None ? Py_NewRef(self) : PyMethod_New(self, context);
}

static PyMemberDef start_response_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(StartResponse, vectorcall), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot start_response_slots[] = {
    {Py_tp_doc, PyDoc_STR("The start_response of a context's class; see chest.request.served.")},
    {Py_tp_new, start_response_new},
    {Py_tp_dealloc, start_response_dealloc},
    {Py_tp_traverse, start_response_traverse},
    {Py_tp_clear, start_response_clear},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_descr_get, start_response_get},
    {Py_tp_members, start_response_members},
    {0, NULL},
};

static PyType_Spec start_response_spec = {
    .name = "chest.native._native.StartResponse",
    .basicsize = sizeof(StartResponse),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR,
    .slots = start_response_slots,
};

#endif
