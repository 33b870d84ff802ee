/* How a request begins: its ids, its context, its note among those that are being served. */
#ifndef CHEST_BEGIN_H
#define CHEST_BEGIN_H

#include <Python.h>

#include "record/ids.h"
#include "request/layout.h"
#include "record/line.h"
#include "ring/fork_guard.h"
#include "system/popped.h"
#include "request/request.h"
#include "request/row.h"
#include "ring/slot.h"

/* 1 if a path holds no secret. */
static int
is_plain_path(PyObject *path)
{
    Py_ssize_t size;
    const char *utf8 = utf8_of(path, &size);
    return utf8 != NULL && !may_hold_secret(utf8, size, NULL);
}

/* A new reference; NULL without an exception if Python has to find it out. */
static PyObject *
path_of(PyObject *environ)
{
    PyObject *path = Py_XNewRef(PyDict_GetItemWithError(environ, key_path)); /* held: another key's __eq__ may be Python */
    PyObject *script = path == NULL ? NULL : PyDict_GetItemWithError(environ, key_script);
    PyObject *whole = NULL;
    if (path != NULL && !PyErr_Occurred() && PyUnicode_CheckExact(path) && (script == NULL || PyUnicode_CheckExact(script))) {
        whole = script == NULL || PyUnicode_GET_LENGTH(script) == 0 ? Py_NewRef(path) : PyUnicode_Concat(script, path);
    }
    Py_XDECREF(path);
    return whole;
}

/* 1 unless the path is excluded; -1 with an exception. */
static int
is_included(FastMiddleware *self, PyObject *path)
{
    PyObject *answer = self->excludes == Py_None ? Py_NewRef(Py_False) : PyObject_CallOneArg(self->excludes, path);
    int is_included = answer == NULL ? -1 : PyObject_Not(answer);
    Py_XDECREF(answer);
    return is_included;
}

static int
is_in(PyObject *environ, PyObject *key)
{
    int is_there = PyDict_Contains(environ, key);
    if (is_there < 0 && PyErr_ExceptionMatches(PyExc_Exception)) {
        PyErr_Clear(); /* of another key, which compares itself: counts as unusual */
    }
    return is_there != 0;
}

/* The request's id: the user's generator's, the one it came with, or one of ours. NULL, perhaps without an exception, if Python has
 * to make more. */
static PyObject *
request_id_of(FastMiddleware *self, PyObject *environ, PyObject *context)
{
    if (self->asks_for_id == Py_True) {
        return PyObject_CallMethodObjArgs((PyObject *)self, name_new_id, environ, context, NULL);
    }
    PyObject *given = PyDict_GetItemWithError(environ, self->header_key);
    if (given == NULL) {
        return PyErr_Occurred() ? NULL : random_id((RandomIds *)self->request_ids); /* of another key, which compares itself */
    }
    Py_INCREF(given);
    PyObject *accepted = PyObject_CallOneArg(self->accepted, given);
    Py_DECREF(given);
    if (accepted == Py_None) {
        Py_SETREF(accepted, random_id((RandomIds *)self->request_ids));
    }
    return accepted;
}

/* `url.scheme`: "http" or "https", as a borrowed reference; None for any other. */
static PyObject *
scheme_in(PyObject *environ)
{
    PyObject *scheme = PyDict_GetItemWithError(environ, key_scheme);
    if (scheme == NULL || scheme == text_http || scheme == text_https || !PyUnicode_CheckExact(scheme)) {
        return scheme == text_http || scheme == text_https ? scheme : Py_None;
    }
    return PyUnicode_Compare(scheme, text_http) == 0 ? text_http : PyUnicode_Compare(scheme, text_https) == 0 ? text_https : Py_None;
}

/* The metadata of a request with a valid `traceparent`; a new reference, to None for any other. */
static PyObject *
metadata_in(FastMiddleware *self, PyObject *environ)
{
    PyObject *header = PyDict_GetItemWithError(environ, key_trace);
    if (header == NULL) {
        return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
    }
    Py_INCREF(header);
    PyObject *trace = PyObject_CallOneArg(self->trace_of, header);
    Py_DECREF(header);
    if (trace == NULL || trace == Py_None) {
        return trace;
    }
    Metadata *metadata = (Metadata *)new_object(self->metadata_class); /* which has no `__init__` */
    if (metadata == NULL) {
        Py_DECREF(trace);
        return NULL;
    }
    metadata->trace = trace;
    return (PyObject *)metadata;
}

/* By way of Python, which cuts a path that is too long, and counts a missing slot. */
static PyObject *
noted_by_python(FastMiddleware *self, Request *request)
{
    PyObject *time_ns = PyLong_FromLongLong(request->time_ns);
    if (time_ns == NULL) {
        return NULL;
    }
    PyObject *scheme = FIELD(request->context, self->layout.scheme);
    PyObject *slot = PyObject_CallMethodObjArgs(
        self->in_flight, name_begin, request->tail, request->request_id, time_ns, request->method, request->shown_path,
        scheme == Py_None ? NULL : scheme, NULL
    );
    Py_DECREF(time_ns);
    return slot;
}

static int
write_request(FastMiddleware *self, Slot *slot, Request *request)
{
    PyObject *scheme = FIELD(request->context, self->layout.scheme);
    char memory[LINE_BYTES];
    Line line;
    line_begin(&line, memory, sizeof(memory));
    if (!put_head(&line, self, request, NULL)) {
        return 0;
    }
    if (line_length(&line) <= HEAD_BYTES) {
        request->head_size = (int)line_length(&line);
        memcpy(request->head, memory, (size_t)request->head_size);
    }
    return put_text(&line, request->method) && put_literal(&line, ",") && put_text(&line, request->shown_path)
           && (scheme == Py_None ? put_literal(&line, ",\"\"") : put_literal(&line, ",") && put_text(&line, scheme))
           && put_literal(&line, "]\n") && slot_write_bytes(slot, memory, line_length(&line)) == 0;
}

/* Note the request in the ring's header, which survives the process: a new reference to its slot, or to None.
 *
 * A subclass of InFlight that overrides `begin` is not asked: none exists.
 */
static PyObject *
noted(FastMiddleware *self, Request *request)
{
    PyObject *idle = self->idle < 0 ? NULL : FIELD(self->in_flight, self->idle);
    if (idle == NULL || !PyList_CheckExact(idle)) {
        return noted_by_python(self, request);
    }
    Py_INCREF(idle);
    PyObject *slot = popped(idle);
    int is_noted = slot != NULL && Py_IS_TYPE(slot, slot_type) && write_request(self, (Slot *)slot, request);
    if (!is_noted && slot != NULL) {
        PyErr_Clear(); /* its file was closed, it may be */
        if (PyList_Append(idle, slot) < 0) {
            PyErr_Clear();
        }
        Py_CLEAR(slot);
    }
    Py_DECREF(idle);
    return is_noted ? slot : noted_by_python(self, request);
}

/* Fills in the context that stands in `environ`; -1 with an exception, 0 if Python has to serve the request. */
static int
begin_context(FastMiddleware *self, PyObject *environ, PyObject *start_response, Request *request)
{
    PyObject *context = request->context;
    set_field(context, self->layout.server_start_response, Py_NewRef(start_response));
    set_field(context, self->layout.environ, Py_NewRef(environ));
    set_field(context, self->layout.scheme, Py_NewRef(scheme_in(environ)));
    if (PyErr_Occurred()) {
        return -1;
    }
    set_field(context, self->layout.status, Py_NewRef(Py_None));
    set_field(context, self->layout.in_flight, Py_NewRef(Py_None));
    PyObject *metadata = metadata_in(self, environ);
    if (metadata == NULL) {
        return -1;
    }
    set_field(context, self->layout.metadata, metadata);
    request->request_id = request_id_of(self, environ, context);
    request->tail = request->request_id == NULL ? NULL : counted_tail((CountedIds *)self->record_ids);
    if (request->tail == NULL || !PyUnicode_CheckExact(request->request_id)) {
        return PyErr_Occurred() ? -1 : 0;
    }
    set_field(context, self->layout.request_id, Py_NewRef(request->request_id));
    return 1;
}

/* 1 if the request has begun; 0 if nothing has happened yet and Python has to serve the request; -1 with an exception. */
static int
begin(FastMiddleware *self, PyObject *environ, PyObject *start_response, Request *request)
{
    request->method = Py_XNewRef(PyDict_GetItemWithError(environ, key_method));
    if (request->method == NULL || !PyUnicode_CheckExact(request->method) || is_in(environ, key_context)
        || is_in(environ, key_upgrade) || !fork_guard_is_set(&self->fork_guard)) {
        return 0;
    }
    request->shown_path = is_plain_path(request->path) ? Py_NewRef(request->path) : text_by(self->clean_path, request->path);
    if (request->shown_path == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    request->context = new_object(self->context_class);
    if (request->context == NULL || PyDict_SetItem(environ, key_context, request->context) < 0) {
        return -1;
    }
    int has_begun = begin_context(self, environ, start_response, request);
    if (has_begun < 1) {
        return has_begun;
    }
    request->time_ns = now_ns(CLOCK_REALTIME);
    if (self->in_flight != Py_None) {
        PyObject *slot = noted(self, request);
        if (slot == NULL) {
            return -1;
        }
        set_field(request->context, self->layout.in_flight, slot);
    }
    request->begin_ns = now_ns(CLOCK_MONOTONIC);
    return 1;
}

#endif
