/* Passage: what the extension for Flask sees of one request: its route and `g` before it is dispatched, its response, its end. */
#ifndef CHEST_PASSAGE_H
#define CHEST_PASSAGE_H

#include <Python.h>

#include "request/body.h"
#include "request/layout.h"
#include "request/left.h"
#include "request/metadata.h"
#include "request/request.h"
#include "system/collected.h"

/* What `flask_chest.hooks.Watch` tells, under these names. */
#define EACH_PART_OF_DISPATCH(do)                                                                                           \
    do(in_python) do(dispatch)                                                                                              \
    do(served_class)  /* of metadata, made without arguments */                                                             \
    do(context_class) /* `RequestContext` */                                                                                \
    do(served_kinds)  /* classes of the contexts of requests that are recorded */                                           \
    do(whole_kinds)   /* classes of responses that return their bodies as Werkzeug's own does */                            \
    do(request_context) do(app_context) /* Flask's ContextVars */                                                           \
    do(routes)        /* by the identity of a rule: it, its route, its attributes */                                        \
    do(mounted) do(answers_whole)                                                                                           \
    do(note_user)     /* asked if Flask-Login has put one on `g` */                                                         \
    do(login_key) do(owner_key) /* on `g` */                                                                                \
    do(served_key)    /* in `environ` */                                                                                    \
    do(known_names) do(data_types) do(takes_all)

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    Layout layout;
    EACH_PART_OF_DISPATCH(DECLARE_FIELD)
} Dispatch;

static PyTypeObject *dispatch_type;
static PyObject *key_proxy_fix, *name_request, *name_environ, *name_g, *name_dict;

/* What is known of one request before it is dispatched. */
typedef struct {
    PyObject *environ;
    PyObject *context;
    PyObject *route; /* NULL if no rule matched */
    PyObject *attributes;
    PyObject *names; /* on `g` */
} Dispatched;

static void
dispatched_clear(Dispatched *found)
{
    Py_XDECREF(found->environ);
    Py_XDECREF(found->context);
    Py_XDECREF(found->route);
    Py_XDECREF(found->attributes);
    Py_XDECREF(found->names);
}

/* An attribute of what a context variable holds; NULL, perhaps without an exception. */
static PyObject *
attribute_of_current(PyObject *variable, PyObject *name)
{
    PyObject *current;
    if (PyContextVar_Get(variable, NULL, &current) < 0 || current == NULL) {
        return NULL;
    }
    PyObject *attribute = PyObject_GetAttr(current, name);
    Py_DECREF(current);
    return attribute;
}

/* Each of these is 1, or 0, perhaps with an exception, if Python has to look. */

static int
find_route(Dispatch *self, PyObject *request, Dispatched *found)
{
    PyObject *rule = PyObject_GetAttr(request, name_url_rule);
    if (rule == NULL || rule == Py_None) {
        Py_XDECREF(rule);
        return rule != NULL;
    }
    PyObject *identity = PyLong_FromVoidPtr(rule);
    PyObject *known = identity == NULL ? NULL : PyDict_GetItemWithError(self->routes, identity);
    Py_XDECREF(identity);
    Py_DECREF(rule);
    if (known == NULL || !PyTuple_CheckExact(known) || PyTuple_GET_SIZE(known) != 3) {
        return 0;
    }
    found->route = Py_NewRef(PyTuple_GET_ITEM(known, 1));
    found->attributes = Py_NewRef(PyTuple_GET_ITEM(known, 2));
    PyObject *mount = PyDict_GetItemWithError(found->environ, key_script);
    if (mount == NULL || (PyUnicode_CheckExact(mount) && PyUnicode_GET_LENGTH(mount) == 0)) {
        return !PyErr_Occurred();
    }
    Py_INCREF(mount);
    PyObject *route = PyObject_CallFunctionObjArgs(self->mounted, mount, found->route, NULL);
    Py_DECREF(mount);
    Py_SETREF(found->route, route);
    return route != NULL;
}

static int
find_names(Dispatch *self, Dispatched *found)
{
    PyObject *g = attribute_of_current(self->app_context, name_g);
    found->names = g == NULL ? NULL : PyObject_GetAttr(g, name_dict);
    Py_XDECREF(g);
    return found->names != NULL && PyDict_CheckExact(found->names) && PyDict_GET_SIZE(found->names) == 0;
}

static int
find(Dispatch *self, Dispatched *found)
{
    PyObject *request = attribute_of_current(self->request_context, name_request);
    found->environ = request == NULL ? NULL : PyObject_GetAttr(request, name_environ);
    int is_found = found->environ != NULL && PyDict_CheckExact(found->environ)
                   && PyDict_Contains(found->environ, self->served_key) == 0 && PyDict_Contains(found->environ, key_proxy_fix) == 0;
    found->context = is_found ? Py_XNewRef(PyDict_GetItemWithError(found->environ, key_context)) : NULL;
    is_found = found->context != NULL && is_of_kinds(found->context, self->served_kinds) == 1
               && find_route(self, request, found) && find_names(self, found);
    Py_XDECREF(request);
    return is_found;
}

/* The request's metadata, attached; a new reference, or NULL, perhaps without an exception, if Python has to make them. */
static Metadata *
dispatched(Dispatch *self, Dispatched *found)
{
    Metadata *metadata = find(self, found) ? (Metadata *)new_object(self->served_class) : NULL;
    /* Last: what was collected meanwhile may have ended the request. */
    PyObject *before = NULL;
    if (metadata == NULL || is_of_kinds(found->context, self->served_kinds) != 1
        || !PyObject_TypeCheck(found->context, self->layout.type)
        || (before = Py_XNewRef(FIELD(found->context, self->layout.metadata))) == NULL) {
        Py_XDECREF(metadata);
        return NULL;
    }
    PyObject *said = before == Py_None ? Py_NewRef(Py_None) : metadata_take_over(metadata, before);
    Py_DECREF(before);
    Py_XDECREF(said);
    if (said == NULL || PyDict_SetItem(found->environ, self->served_key, (PyObject *)metadata) < 0
        || PyDict_SetItem(found->names, self->owner_key, (PyObject *)metadata) < 0) {
        Py_DECREF(metadata);
        return NULL;
    }
    if (found->route != NULL) {
        Py_XSETREF(metadata->route, Py_NewRef(found->route));
        Py_XSETREF(metadata->known_attributes, Py_NewRef(found->attributes));
    }
    Py_XSETREF(metadata->names, Py_NewRef(found->names));
    Py_XSETREF(metadata->dispatch, Py_NewRef((PyObject *)self));
    set_field(found->context, self->layout.metadata, Py_NewRef((PyObject *)metadata));
    return metadata;
}

/* 1, 0, or -1 with an exception that is no Exception. */
static int
is_whole(Dispatch *self, PyObject *response, Metadata *metadata)
{
    int is_stream;
    PyObject *chunks = whole_chunks(self->whole_kinds, response, &is_stream);
    int is_complete = is_stream ? 0 : chunks == NULL ? -1 : 1;
    Py_XDECREF(chunks);
    if (is_complete >= 0 || pass_over_error() < 0) {
        return is_complete;
    }
    /* Python finds out again what went wrong, and counts. */
    PyObject *answer = PyObject_CallFunctionObjArgs(self->answers_whole, response, (PyObject *)metadata, NULL);
    is_complete = answer == NULL ? pass_over_error() : answer == Py_True;
    Py_XDECREF(answer);
    return is_complete;
}

/* -1 with an exception that is no Exception. */
static int
note_user(Dispatch *self, Metadata *metadata)
{
    PyObject *names = Py_XNewRef(metadata->names); /* NULL if the request is over; held: another name's __eq__ may end it */
    int is_there = names == NULL || !PyDict_CheckExact(names) ? 0 : PyDict_Contains(names, self->login_key);
    Py_XDECREF(names);
    PyObject *answer = is_there == 1 ? PyObject_CallOneArg(self->note_user, (PyObject *)metadata) : NULL;
    Py_XDECREF(answer);
    if (is_there < 0) {
        PyErr_Clear(); /* of another name, which compares itself */
    }
    return answer == NULL ? pass_over_error() : 0;
}

/* 1 if each name is among the known ones and each value of one of the types, 0 if not; -1 with an exception. Runs no code of an
 * application's. */
static int
are_known(Dispatch *self, PyObject *names)
{
    PyObject *name, *value;
    int is_known = 1;
    for (Py_ssize_t place = 0; is_known == 1 && PyDict_Next(names, &place, &name, &value);) {
        is_known = PyUnicode_CheckExact(name) ? PySet_Contains(self->known_names, name) : 0;
        is_known = is_known == 1 ? is_of_kinds(value, self->data_types) : is_known;
    }
    return is_known;
}

/* The end of a request that was dispatched here: what is on `g` becomes variables, and `g` is released. 0 if Python has to. */
static int
take_names(Metadata *metadata, PyObject *context)
{
    Dispatch *self = (Dispatch *)metadata->dispatch;
    if (self == NULL || !Py_IS_TYPE(self, dispatch_type) || self->in_python == NULL || metadata->names == NULL
        || !PyDict_CheckExact(metadata->names)) {
        return 0;
    }
    PyObject *names = Py_NewRef(metadata->names);
    Py_INCREF(self); /* held, as the names are: another name's __eq__ may let both go */
    int has_owner = PyDict_Contains(names, self->owner_key), is_taken = has_owner >= 0;
    if (has_owner == 1) {
        is_taken = PyDict_DelItem(names, self->owner_key) == 0;
    }
    if (is_taken && PyDict_GET_SIZE(names) != 0) {
        is_taken = self->takes_all == Py_True && are_known(self, names) == 1
                   && PyDict_Merge(context, names, PyDict_GET_SIZE(context) == 0) == 0; /* what the context has stays */
    }
    Py_DECREF(names);
    Py_DECREF(self);
    if (!is_taken) {
        PyErr_Clear(); /* Python finds it out again */
        return 0;
    }
    metadata->is_over = 1;
    Py_CLEAR(metadata->names);
    Py_CLEAR(metadata->dispatch);
    return 1;
}

#endif
