/* What an application returns: whether it is complete, or a file that the server sends, and how many bytes it has. */
#ifndef CHEST_BODY_H
#define CHEST_BODY_H

#include <Python.h>

#include "request/request.h"
#include "system/errors.h"

#define WERKZEUG_ITERATOR "ClosingIterator"
#define MOST_DIGITS 18 /* of a length that can be counted in 64 bits */

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
            if (!PyErr_ExceptionMatches(PyExc_Exception)) {
                return -1;
            }
            PyErr_Clear();
            break;
        }
        sum = size > PY_SSIZE_T_MAX - sum ? PY_SSIZE_T_MAX : sum + size;
    }
    return sum;
}

/* `served_file.said_length`: the Content-Length of a body that is not counted here; 0 if none was said. */
static Py_ssize_t
said_length(PyObject *headers)
{
    static const char wanted[] = "content-length";
    if (headers == NULL || !PyList_CheckExact(headers)) {
        return 0;
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(headers); i++) {
        PyObject *pair = PyList_GET_ITEM(headers, i);
        if (!PyTuple_CheckExact(pair) || PyTuple_GET_SIZE(pair) != 2) {
            return 0;
        }
        PyObject *name = PyTuple_GET_ITEM(pair, 0), *value = PyTuple_GET_ITEM(pair, 1);
        if (!PyUnicode_CheckExact(name) || !PyUnicode_IS_COMPACT_ASCII(name)
            || PyUnicode_GET_LENGTH(name) != sizeof(wanted) - 1
            || PyOS_strnicmp(PyUnicode_DATA(name), wanted, sizeof(wanted) - 1) != 0) {
            continue;
        }
        Py_ssize_t length = 0, digits = PyUnicode_CheckExact(value) ? PyUnicode_GET_LENGTH(value) : 0;
        if (digits < 1 || digits > MOST_DIGITS || !PyUnicode_IS_COMPACT_ASCII(value)) {
            return 0;
        }
        for (const char *text = PyUnicode_DATA(value); digits > 0; digits--, text++) {
            if (!Py_ISDIGIT(*text)) {
                return 0;
            }
            length = length * 10 + (*text - '0');
        }
        return length;
    }
    return 0;
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

/* By `whole_body.whole_bytes`; what cannot be judged, as where the stack has no room left, is a stream. */
static Py_ssize_t
werkzeug_bytes(FastMiddleware *self, PyObject *body)
{
    PyObject *answer = PyObject_CallOneArg(self->whole_bytes, body);
    Py_ssize_t bytes = answer == NULL ? -2 : PyLong_AsSsize_t(answer);
    Py_XDECREF(answer);
    if (PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_Exception)) {
            return -2;
        }
        PyErr_Clear();
        return -1;
    }
    return bytes;
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
