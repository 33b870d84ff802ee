/* What an application returns: whether it is complete, or a file that the server sends, and how many bytes it has. */
#ifndef CHEST_BODY_H
#define CHEST_BODY_H

#include <Python.h>

#include "request/headers.h"
#include "request/request.h"
#include "system/errors.h"

#define WERKZEUG_ITERATOR "ClosingIterator"

static PyObject *name_response, *name_on_close, *name_callbacks, *name_gi_code;

/* Bytes in a list or tuple, as far as they are any: of others the server says so. -1 for what is no Exception. */
static Py_ssize_t
bytes_in(PyObject *body)
{
    Py_ssize_t sum = 0;
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(body); i++) {
        PyObject *chunk = Py_NewRef(PySequence_Fast_GET_ITEM(body, i));
        Py_ssize_t size = PyObject_Size(chunk);
        Py_DECREF(chunk);
        if (size < 0) {
            if (pass_over_error() < 0) {
                return -1;
            }
            break;
        }
        sum = size > PY_SSIZE_T_MAX - sum ? PY_SSIZE_T_MAX : sum + size;
    }
    return sum;
}

static int
has_attribute(PyObject *object, PyObject *name)
{
    PyObject *attribute;
    int is_there = optional_attribute(object, name, &attribute);
    Py_XDECREF(attribute);
    return is_there;
}

/* `served_file.is_served_file`: whether the server may send this body with sendfile. */
static int
is_served_file(PyObject *body, PyObject *environ)
{
    PyObject *wrapper = PyDict_GetItemWithError(environ, key_file_wrapper);
    if (wrapper == NULL || wrapper == Py_None) {
        return PyErr_Occurred() ? -1 : 0;
    }
    Py_INCREF(wrapper);
    int is_file = PyType_Check(wrapper) ? PyObject_IsInstance(body, wrapper) : has_attribute(body, name_read);
    if (is_file == 1 && !PyType_Check(wrapper)) {
        is_file = has_attribute(body, name_fileno);
    }
    Py_DECREF(wrapper);
    return is_file;
}

/* Whether an object's class is among these; a class with a metaclass, which would be asked, is not. */
static int
is_of_kinds(PyObject *object, PyObject *kinds)
{
    PyObject *type = (PyObject *)Py_TYPE(object);
    return Py_IS_TYPE(type, &PyType_Type) ? PySet_Contains(kinds, type) : 0;
}

/* The chunks of a response of Werkzeug's whose class is known to return its body as Werkzeug's own does, if it is whole: a new
 * reference; NULL, perhaps with an exception, if not. Then it is known to be a stream, or Python has to look. */
static PyObject *
whole_chunks(PyObject *whole_kinds, PyObject *response, int *is_stream)
{
    PyObject *body = PyObject_GetAttr(response, name_response);
    /* Of Python's own kinds: of others, one is what Werkzeug makes of an error's page, which is whole. */
    *is_stream = body != NULL && PyIter_Check(body) && !PyType_HasFeature(Py_TYPE(body), Py_TPFLAGS_HEAPTYPE);
    int is_list = body != NULL && PyList_CheckExact(body) && is_of_kinds(response, whole_kinds) == 1;
    PyObject *waiting = is_list ? PyObject_GetAttr(response, name_on_close) : NULL;
    if (waiting == NULL || !PyList_CheckExact(waiting) || PyList_GET_SIZE(waiting) != 0) {
        Py_CLEAR(body);
    }
    Py_XDECREF(waiting);
    return body;
}

/* The response of such a class that a body of Werkzeug's is of, unchanged; a new reference, or NULL, perhaps with an exception. */
static PyObject *
response_of(FastMiddleware *self, PyObject *body)
{
    PyObject *known = self->of_werkzeug, *response = NULL;
    if (PyList_GET_SIZE(known) != 2 || (PyObject *)Py_TYPE(body) != PyList_GET_ITEM(known, 0)) {
        return NULL;
    }
    PyObject *callbacks = PyObject_GetAttr(body, name_callbacks);
    if (callbacks != NULL && PyList_CheckExact(callbacks) && PyList_GET_SIZE(callbacks) == 2) {
        PyObject *close_chunks = PyList_GET_ITEM(callbacks, 0), *close = PyList_GET_ITEM(callbacks, 1);
        PyObject *chunks = PyCFunction_Check(close_chunks) ? PyCFunction_GET_SELF(close_chunks) : NULL;
        PyObject *code = chunks != NULL && PyGen_CheckExact(chunks) ? PyObject_GetAttr(chunks, name_gi_code) : NULL;
        response = code != NULL && code == PyList_GET_ITEM(known, 1) && PyMethod_Check(close) ? Py_NewRef(PyMethod_GET_SELF(close)) : NULL;
        PyObject *function = response != NULL ? Py_NewRef(PyMethod_GET_FUNCTION(close)) : NULL; /* held: a descriptor may run */
        PyObject *own = response != NULL && is_of_kinds(response, self->whole_kinds) == 1
                            ? PyObject_GetAttr((PyObject *)Py_TYPE(response), name_close)
                            : NULL;
        if (own == NULL || own != function) {
            Py_CLEAR(response);
        }
        Py_XDECREF(own);
        Py_XDECREF(function);
        Py_XDECREF(code);
    }
    Py_XDECREF(callbacks);
    return response;
}

/* `whole_body.whole_bytes` of a body of the usual kind; -2, perhaps with an exception, if Python has to look. */
static Py_ssize_t
usual_bytes(FastMiddleware *self, PyObject *body)
{
    int is_stream = 0;
    PyObject *response = response_of(self, body);
    PyObject *chunks = response == NULL ? NULL : whole_chunks(self->whole_kinds, response, &is_stream);
    Py_ssize_t bytes = is_stream ? -1 : chunks == NULL ? -2 : 0;
    for (Py_ssize_t i = 0; bytes >= 0 && i < PyList_GET_SIZE(chunks); i++) {
        PyObject *chunk = PyList_GET_ITEM(chunks, i);
        bytes = PyBytes_CheckExact(chunk) ? bytes + PyBytes_GET_SIZE(chunk) : -2;
    }
    Py_XDECREF(chunks);
    Py_XDECREF(response);
    return bytes;
}

/* What cannot be judged, as where the stack has no room left, is a stream. */
static Py_ssize_t
werkzeug_bytes(FastMiddleware *self, PyObject *body)
{
    Py_ssize_t bytes = usual_bytes(self, body);
    if (bytes != -2 || pass_over_error() < 0) {
        return bytes;
    }
    /* Python finds out again what went wrong. */
    PyObject *answer = PyObject_CallOneArg(self->whole_bytes, body);
    bytes = answer == NULL ? -1 : PyLong_AsSsize_t(answer);
    Py_XDECREF(answer);
    return pass_over_error() < 0 ? -2 : bytes;
}

/* Of a body that is complete, the bytes; -1 if there is more to come, -2 with an exception. */
static Py_ssize_t
complete_bytes(FastMiddleware *self, PyObject *context, PyObject *body)
{
    if (PyList_CheckExact(body) || PyTuple_CheckExact(body)) {
        Py_ssize_t sum = bytes_in(body);
        return sum < 0 ? -2 : sum;
    }
    Metadata *metadata = metadata_of(self, context);
    if (metadata == NULL || !metadata->is_complete) {
        return strcmp(Py_TYPE(body)->tp_name, WERKZEUG_ITERATOR) == 0 ? werkzeug_bytes(self, body) : -1;
    }
    PyObject *status = FIELD(context, self->layout.status);
    return status == NULL || status == Py_None ? 0 : said_length(FIELD(context, self->layout.headers));
}

#endif
