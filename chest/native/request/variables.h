/* The variables of a request that is over, as JSON; Python is asked for each value that is not plain. */
#ifndef CHEST_VARIABLES_H
#define CHEST_VARIABLES_H

#include <Python.h>

#include "record/container.h"
#include "record/names.h"
#include "request/request.h"

#define KEYS_PER_RECORD 256 /* `Limits.keys_per_record` */
#define MOST_NOTES 20       /* `report.MOST_NOTES` */
#define MOST_WALKED 3       /* so many values of 16 KiB, and a line beside them, are within `Limits.record_bytes` */

/* What is said of the record beside its fields. */
typedef struct {
    PyObject *attributes; /* a dict, made when it is needed; else NULL */
    int walked;           /* values that may be as long as one may be */
} Said;

/* A borrowed reference. */
static PyObject *
attributes_said(Said *said)
{
    if (said->attributes == NULL) {
        said->attributes = PyDict_New();
    }
    return said->attributes;
}

/* Why a value is not as the application gave it. 0, perhaps with an exception, if there is no room for it. */
static int
note(Said *said, PyObject *name, PyObject *reason)
{
    PyObject *attributes = attributes_said(said);
    PyObject *sanitized = attributes == NULL ? NULL : Py_XNewRef(PyDict_GetItemWithError(attributes, key_sanitized));
    if (sanitized == NULL && !PyErr_Occurred() && (sanitized = PyDict_New()) != NULL
        && PyDict_SetItem(attributes, key_sanitized, sanitized) < 0) {
        Py_CLEAR(sanitized);
    }
    int is_noted = sanitized != NULL && PyDict_CheckExact(sanitized) && PyDict_GET_SIZE(sanitized) < MOST_NOTES
                   && PyDict_Contains(sanitized, name) == 0 && PyDict_SetItem(sanitized, name, reason) == 0;
    Py_XDECREF(sanitized);
    return is_noted;
}

/* A value of exactly one of the types of `conversion.SCALARS`; 0, perhaps with an exception, if it is Python's. */
static int
put_scalar(Line *line, FastMiddleware *self, PyObject *name, PyObject *value, Said *said)
{
    PyObject *kind = (PyObject *)Py_TYPE(value);
    PyObject *known = Py_IS_TYPE(kind, &PyType_Type) ? PyDict_GetItemWithError(self->scalars, kind) : NULL;
    if (known == NULL || !PyTuple_CheckExact(known) || PyTuple_GET_SIZE(known) != 3) {
        return 0;
    }
    PyObject *plain = PyObject_CallOneArg(PyTuple_GET_ITEM(known, 0), value);
    int is_put = plain != NULL && (PyTuple_GET_ITEM(known, 2) == Py_True ? put_text(line, plain) : put_plain_value(line, plain, NULL))
                 && note(said, name, PyTuple_GET_ITEM(known, 1));
    Py_XDECREF(plain);
    return is_put;
}

/* By `Sanitizer.fragment`. */
static int
put_fragment(Line *line, FastMiddleware *self, PyObject *name, PyObject *value, Said *said)
{
    PyObject *attributes = attributes_said(said);
    PyObject *answer = attributes == NULL ? NULL : PyObject_CallFunctionObjArgs(self->fragment, name, value, attributes, NULL);
    if (answer == NULL || !put_text(line, name) || !put_literal(line, ":")) {
        Py_XDECREF(answer);
        return 0;
    }
    int is_put = 0;
    if (PyTuple_CheckExact(answer) && PyTuple_GET_SIZE(answer) == 2) {
        is_put = put_json(line, PyTuple_GET_ITEM(answer, 0))
                 && (PyTuple_GET_ITEM(answer, 1) == Py_None || note(said, name, PyTuple_GET_ITEM(answer, 1)));
    }
    else if (PyBytes_CheckExact(answer)) {
        is_put = ++said->walked <= MOST_WALKED && put_json(line, answer);
    }
    Py_DECREF(answer);
    return is_put;
}

static int
put_variable(Line *line, FastMiddleware *self, Py_ssize_t place, PyObject *name, PyObject *value, Said *said)
{
    char *before = line->at;
    Container container = {.good_names = self->known_names, .plain_keys = self->plain_keys};
    if (put_name(line, &self->names, place, name, self->known_names)) {
        char *behind = line->at;
        if (put_plain(line, value, &container)) {
            return 1;
        }
        line->at = behind;
        if (put_scalar(line, self, name, value, said)) {
            return 1;
        }
    }
    line->at = before;
    return !PyErr_Occurred() && PyUnicode_CheckExact(name) && put_fragment(line, self, name, value, said);
}

/* 0, perhaps with an exception, if Python has to look at all of them together. */
static int
put_variables(Line *line, FastMiddleware *self, PyObject *variables, PyObject *tracked, Said *said)
{
    Py_ssize_t position = 0, place = 0;
    PyObject *name, *value;
    char separator = '{';
    if (PyDict_GET_SIZE(variables) > KEYS_PER_RECORD) {
        return 0;
    }
    while (PyDict_Next(variables, &position, &name, &value)) {
        if (tracked != NULL) {
            int is_tracked = PyUnicode_CheckExact(name) ? PySet_Contains(tracked, name) : -1;
            if (is_tracked < 1) {
                if (is_tracked < 0) {
                    return 0;
                }
                continue;
            }
        }
        Py_INCREF(name); /* what Python is asked for may take a while, and others may write meanwhile */
        Py_INCREF(value);
        int is_put = put_bytes(line, &separator, 1) && put_variable(line, self, place++, name, value, said);
        Py_DECREF(name);
        Py_DECREF(value);
        if (!is_put) {
            return 0;
        }
        separator = ',';
    }
    return (separator == ',' || put_literal(line, "{")) && put_literal(line, "}");
}

#endif
