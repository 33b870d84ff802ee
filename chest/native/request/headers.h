/* Headers as an application said them: a list of pairs of texts, of which each is looked at before it is trusted. */
#ifndef CHEST_HEADERS_H
#define CHEST_HEADERS_H

#include <Python.h>

#define CACHE_CONTROL "cache-control"
#define IMMUTABLE "immutable"
#define CONTENT_LENGTH "content-length"
#define MOST_DIGITS 18 /* of a length that can be counted in 64 bits */

/* 1 with borrowed references to a header's name and value; 0 if it is no pair. */
static int
header_at(PyObject *headers, Py_ssize_t place, PyObject **name, PyObject **value)
{
    PyObject *pair = PyList_GET_ITEM(headers, place);
    if (!PyTuple_CheckExact(pair) || PyTuple_GET_SIZE(pair) != 2) {
        return 0;
    }
    *name = PyTuple_GET_ITEM(pair, 0);
    *value = PyTuple_GET_ITEM(pair, 1);
    return 1;
}

static int
is_ascii(PyObject *text)
{
    return PyUnicode_CheckExact(text) && PyUnicode_IS_COMPACT_ASCII(text);
}

/* Whether an ASCII name is this one, in letters of either case. */
static int
is_named(PyObject *name, const char *wanted, Py_ssize_t length)
{
    return PyUnicode_GET_LENGTH(name) == length && PyOS_strnicmp(PyUnicode_DATA(name), wanted, length) == 0;
}

/* `served.is_immutable` of a value of "Cache-Control". */
static int
is_immutable(PyObject *value)
{
    const char *text = PyUnicode_DATA(value);
    for (Py_ssize_t left = PyUnicode_GET_LENGTH(value); left >= (Py_ssize_t)sizeof(IMMUTABLE) - 1; left--, text++) {
        if (PyOS_strnicmp(text, IMMUTABLE, sizeof(IMMUTABLE) - 1) == 0) {
            return 1;
        }
    }
    return 0;
}

/* 0 if the text is no number. */
static Py_ssize_t
number_in(PyObject *text)
{
    if (!is_ascii(text) || PyUnicode_GET_LENGTH(text) > MOST_DIGITS) {
        return 0;
    }
    Py_ssize_t number = 0;
    const char *digits = PyUnicode_DATA(text);
    for (Py_ssize_t i = 0; i < PyUnicode_GET_LENGTH(text); i++) {
        if (!Py_ISDIGIT(digits[i])) {
            return 0;
        }
        number = number * 10 + (digits[i] - '0');
    }
    return number;
}

/* `served_file.said_length`: the Content-Length of a body that is not counted here; 0 if none was said. */
static Py_ssize_t
said_length(PyObject *headers)
{
    PyObject *name, *value;
    for (Py_ssize_t i = 0; headers != NULL && PyList_CheckExact(headers) && i < PyList_GET_SIZE(headers); i++) {
        if (!header_at(headers, i, &name, &value)) {
            return 0;
        }
        if (is_ascii(name) && is_named(name, CONTENT_LENGTH, sizeof(CONTENT_LENGTH) - 1)) {
            return number_in(value);
        }
    }
    return 0;
}

#endif
