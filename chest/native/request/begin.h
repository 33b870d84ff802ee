/* How a request begins: its ids, its context, its note among those that are being served. */
#ifndef CHEST_BEGIN_H
#define CHEST_BEGIN_H

#include <Python.h>

#include "ids.h"
#include "layout.h"
#include "line.h"
#include "mark.h"
#include "notes.h"
#include "popped.h"
#include "request.h"
#include "slot.h"

/* Those that Python made come first: where it served a request, it made several. NULL, perhaps without an exception, where
 * Python has to make more. */
static PyObject *
new_request_id(Serving *self)
{
    PyObject *id = popped(self->ready_request_ids);
    return id != NULL ? id : random_id((RandomIds *)self->request_ids);
}

static PyObject *
new_tail(Serving *self)
{
    PyObject *tail = popped(self->ready_tails);
    return tail != NULL ? tail : counted_tail((CountedIds *)self->record_ids);
}

/* Without "=" and ":" there is no secret in a path. */
static int
is_plain_path(PyObject *path)
{
    Py_ssize_t length = PyUnicode_GET_LENGTH(path);
    if (PyUnicode_IS_COMPACT_ASCII(path)) {
        const char *text = PyUnicode_DATA(path);
        return memchr(text, '=', (size_t)length) == NULL && memchr(text, ':', (size_t)length) == NULL;
    }
    return PyUnicode_FindChar(path, '=', 0, length, 1) == -1 && PyUnicode_FindChar(path, ':', 0, length, 1) == -1;
}

/* `request_id.accepted`: letters, digits, ".", "_", "-"; at most 128. */
static int
is_accepted(PyObject *request_id)
{
    if (!PyUnicode_CheckExact(request_id) || !PyUnicode_IS_COMPACT_ASCII(request_id)) {
        return 0;
    }
    Py_ssize_t length = PyUnicode_GET_LENGTH(request_id);
    const unsigned char *text = PyUnicode_DATA(request_id);
    for (Py_ssize_t i = 0; i < length; i++) {
        if (!Py_ISALNUM(text[i]) && text[i] != '.' && text[i] != '_' && text[i] != '-') {
            return 0;
        }
    }
    return length >= 1 && length <= 128;
}

/* A new reference; NULL without an exception where Python has to find it out. */
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

/* 1 where the path is excluded; -1 with an exception. */
static int
is_excluded(Serving *self, PyObject *path)
{
    if (self->excludes == Py_None) {
        return 0;
    }
    int is_named = PySet_Contains(self->excluded_paths, path);
    if (is_named) {
        return is_named;
    }
    PyObject *answer = PyObject_CallOneArg(self->excludes, path);
    if (answer == NULL) {
        return -1;
    }
    int is_true = PyObject_IsTrue(answer);
    Py_DECREF(answer);
    return is_true;
}

static int
is_in(PyObject *environ, PyObject *key)
{
    return PyDict_Contains(environ, key) != 0; /* an error, which these keys cannot have, counts as unusual */
}

/* The request's id: the one it came with, or one of ours. NULL, perhaps without an exception, where Python has to look at it. */
static PyObject *
request_id_of(Serving *self, PyObject *environ)
{
    PyObject *given = PyDict_GetItemWithError(environ, self->header_key);
    if (given == NULL && PyErr_Occurred()) { /* of another key, which compares itself */
        return NULL;
    }
    if (given != NULL) {
        return is_accepted(given) ? Py_NewRef(given) : NULL;
    }
    return new_request_id(self);
}

/* By way of Python, which cuts a path that is too long, and counts where there is no slot. */
static PyObject *
noted_by_python(Serving *self, Request *request)
{
    PyObject *time_ns = PyLong_FromLongLong(request->time_ns);
    if (time_ns == NULL) {
        return NULL;
    }
    PyObject *slot = PyObject_CallMethodObjArgs(
        self->in_flight, name_begin, request->tail, request->request_id, time_ns, request->method, request->path, NULL
    );
    Py_DECREF(time_ns);
    return slot;
}

static int
write_request(Slot *slot, Request *request)
{
    char memory[LINE_BYTES];
    Line line;
    line_begin(&line, memory, sizeof(memory));
    return put_literal(&line, "[") && put_text(&line, request->tail) && put_literal(&line, ",")
           && put_text(&line, request->request_id) && put_literal(&line, ",") && put_number(&line, request->time_ns)
           && put_literal(&line, ",") && put_number(&line, request->time_ns % CHECK) && put_literal(&line, ",")
           && put_text(&line, request->method) && put_literal(&line, ",") && put_text(&line, request->path)
           && put_literal(&line, "]\n") && slot_write_bytes(slot, memory, line_length(&line)) == 0;
}

/* Note the request where the death of the process does not take it: a new reference to its slot, or to None.
 *
 * What a subclass of InFlight makes of `begin` is not asked: there is none.
 */
static PyObject *
noted(Serving *self, Request *request)
{
    PyObject *idle = PyObject_TypeCheck(self->in_flight, notes_type) ? ((Notes *)self->in_flight)->idle : NULL;
    if (idle == NULL || !PyList_CheckExact(idle)) {
        return noted_by_python(self, request);
    }
    Py_INCREF(idle);
    PyObject *slot = popped(idle);
    int is_noted = slot != NULL && Py_IS_TYPE(slot, slot_type) && write_request((Slot *)slot, request);
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

static void
request_clear(Request *request)
{
    Py_XDECREF(request->path);
    Py_XDECREF(request->method);
    Py_XDECREF(request->request_id);
    Py_XDECREF(request->tail);
    Py_XDECREF(request->context);
}

/* 1 where the request has begun; 0 where Python has to serve it, of which nothing has happened yet; -1 with an exception. */
static int
begin(Serving *self, PyObject *environ, PyObject *start_response, Request *request)
{
    PyTypeObject *kind = (PyTypeObject *)self->context_class;
    request->method = Py_XNewRef(PyDict_GetItemWithError(environ, key_method));
    if (request->method == NULL || !PyUnicode_CheckExact(request->method) || !is_plain_path(request->path)
        || is_in(environ, key_context) || is_in(environ, key_trace) || !mark_is_set(&self->mark)) {
        return 0;
    }
    request->request_id = request_id_of(self, environ);
    request->tail = request->request_id == NULL ? NULL : new_tail(self);
    if (request->tail == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    PyObject *context = request->context = kind->tp_new(kind, nothing, NULL);
    if (context == NULL || PyDict_SetItem(environ, key_context, context) < 0) {
        return -1;
    }
    set_field(context, self->layout.server_start_response, Py_NewRef(start_response));
    set_field(context, self->layout.request_id, Py_NewRef(request->request_id));
    set_field(context, self->layout.facts, Py_NewRef(Py_None));
    set_field(context, self->layout.status, Py_NewRef(Py_None));
    set_field(context, self->layout.in_flight, Py_NewRef(Py_None));
    request->time_ns = now_ns(CLOCK_REALTIME);
    if (self->in_flight != Py_None) {
        PyObject *slot = noted(self, request);
        if (slot == NULL) {
            return -1;
        }
        set_field(context, self->layout.in_flight, slot);
    }
    request->begin_ns = now_ns(CLOCK_MONOTONIC);
    return 1;
}

#endif
