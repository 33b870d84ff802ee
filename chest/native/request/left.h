/* What Flask or Bottle left in `environ` of a request's route: `chest.request.framework.read_left`, which is asked for the rest. */
#ifndef CHEST_LEFT_H
#define CHEST_LEFT_H

#include <Python.h>

#include "request/metadata.h"
#include "request/request.h"
#include "system/errors.h"

#define WERKZEUG_REQUEST "werkzeug.request"
#define BOTTLE_ROUTE "bottle.route"

static PyObject *key_werkzeug, *key_bottle, *name_url_rule, *name_rule, *name_endpoint;
static int notes_spans; /* OpenTelemetry is loaded */

/* The functions of `chest.request.framework`, and the class of a request's metadata. */
typedef struct {
    PyObject *read_left;
    PyObject *known_of;
    PyObject *metadata_class;
} Left;

#define EACH_OF_LEFT(do) do(left.read_left) do(left.known_of) do(left.metadata_class)

/* The rule that was matched; a new reference, or NULL, perhaps without an exception. */
static PyObject *
rule_in(PyObject *environ, int *is_flask)
{
    PyObject *request = Py_XNewRef(PyDict_GetItemWithError(environ, key_werkzeug)), *rule = NULL;
    *is_flask = request != NULL;
    if (*is_flask) {
        (void)optional_attribute(request, name_url_rule, &rule);
        Py_DECREF(request);
        return rule;
    }
    return PyErr_Occurred() ? NULL : Py_XNewRef(PyDict_GetItemWithError(environ, key_bottle));
}

/* Its route, and the program's names for it: a pair, by `known_of`. */
static PyObject *
known_of(const Left *left, PyObject *rule, int is_flask)
{
    PyObject *route = PyObject_GetAttr(rule, name_rule);
    PyObject *endpoint = route == NULL ? NULL : is_flask ? PyObject_GetAttr(rule, name_endpoint) : Py_NewRef(Py_None);
    PyObject *known = endpoint == NULL ? NULL : PyObject_CallFunctionObjArgs(left->known_of, route, endpoint, NULL);
    Py_XDECREF(route);
    Py_XDECREF(endpoint);
    if (known != NULL && !(PyTuple_CheckExact(known) && PyTuple_GET_SIZE(known) == 2)) {
        Py_CLEAR(known);
    }
    return known;
}

/* 1 where the metadata say what there is to say; 0, perhaps with an exception, where Python has to look. */
static int
tell_route(const Left *left, const Layout *layout, PyObject *context, PyObject *environ)
{
    PyObject *mount = PyDict_GetItemWithError(environ, key_script);
    if (mount == NULL ? PyErr_Occurred() != NULL : !PyUnicode_CheckExact(mount) || PyUnicode_GET_LENGTH(mount) != 0) {
        return 0;
    }
    int is_flask;
    PyObject *rule = rule_in(environ, &is_flask);
    if (rule == NULL || rule == Py_None) {
        Py_XDECREF(rule);
        return !PyErr_Occurred() && PyDict_Contains(environ, key_bottle) == 0;
    }
    PyObject *known = known_of(left, rule, is_flask);
    Py_DECREF(rule);
    if (known != NULL && FIELD(context, layout->metadata) == Py_None) {
        PyObject *made = new_object(left->metadata_class);
        if (made != NULL) {
            set_field(context, layout->metadata, made);
        }
    }
    PyObject *said = known == NULL ? NULL : FIELD(context, layout->metadata);
    int is_told = said != NULL && PyObject_TypeCheck(said, metadata_type);
    if (is_told) {
        Metadata *metadata = (Metadata *)said;
        if (!is_said(metadata->route)) {
            Py_XSETREF(metadata->route, Py_NewRef(PyTuple_GET_ITEM(known, 0)));
        }
        Py_XSETREF(metadata->known_attributes, Py_NewRef(PyTuple_GET_ITEM(known, 1)));
    }
    Py_XDECREF(known);
    return is_told;
}

/* Tell what is there, before the response starts; -1 with an exception of a signal handler's. */
static int
read_left(const Left *left, const Layout *layout, PyObject *context)
{
    PyObject *environ = FIELD(context, layout->environ), *metadata = FIELD(context, layout->metadata);
    if (environ == NULL || !PyDict_CheckExact(environ)
        || (!notes_spans && metadata != NULL && PyObject_TypeCheck(metadata, metadata_type) && is_said(((Metadata *)metadata)->known_attributes))) {
        return 0;
    }
    Py_INCREF(environ);
    int is_left = notes_spans ? -1 : PyDict_Contains(environ, key_werkzeug); /* a span is Python's to find */
    is_left = is_left ? is_left : PyDict_Contains(environ, key_bottle);
    int is_told = is_left == 0 || (is_left == 1 && tell_route(left, layout, context, environ));
    if (!is_told && pass_over_error() == 0) { /* Python looks again, and passes it over */
        PyObject *answer = PyObject_CallFunctionObjArgs(left->read_left, environ, context, NULL);
        is_told = answer != NULL;
        Py_XDECREF(answer);
    }
    Py_DECREF(environ);
    return is_told ? 0 : -1;
}

#endif
