/* The end of a stream: the application's `close`, and the record. */
#ifndef CHEST_STREAM_CLOSE_H
#define CHEST_STREAM_CLOSE_H

#include <Python.h>

#include "request/current.h"
#include "request/end.h"
#include "system/errors.h"

typedef struct {
    PyObject_HEAD
    FastMiddleware *middleware;
    PyObject *emitter;
    Request request; /* its context is None once it has ended */
    PyObject *body;
    PyObject *chunks; /* NULL before the first is asked for, and after the last */
    long long first_byte_ns;
    unsigned long long handled; /* the identity of what was being handled when it was made */
    Py_ssize_t body_bytes;
    Py_ssize_t chunk_bytes; /* of these, what the server has asked for last */
    char is_over; /* no chunk is left, or none may be asked for */
    char is_exhausted;
    char is_running;
    char has_failed; /* the application raised */
    char is_file;    /* what the server sends by itself, and closes */
} Stream;

static PyTypeObject *stream_type;
static PyObject *name_ask_application;

static inline int
has_ended(Stream *self)
{
    return self->request.context == NULL || self->request.context == Py_None;
}

/* `sending.handled_here` */
static unsigned long long
handled_here(void)
{
    PyObject *handled = PyErr_GetHandledException();
    unsigned long long identity = (unsigned long long)(uintptr_t)(handled == NULL ? Py_None : handled);
    Py_XDECREF(handled);
    return identity;
}

/* Record the request, in Python if it has to be; -1 with an exception of a signal handler's. */
static int
record_stream(Stream *self, PyObject *context)
{
    Request request = self->request; /* held: the stream's may be set anew */
    request.context = context;
    Outcome outcome = {.duration_ns = now_ns(CLOCK_MONOTONIC) - request.begin_ns, .body_bytes = self->body_bytes,
                       .first_byte_ns = self->first_byte_ns ? self->first_byte_ns - request.begin_ns : 0};
    request_hold(&request);
    int is_finished = finish(self->middleware, &request, &outcome);
    if (is_finished < 0) {
        is_finished = went_wrong(self->middleware, &request);
    }
    else if (is_finished == 0) {
        PyObject *answer = PyObject_CallMethod(self->emitter, "finish", "OO", self, context);
        is_finished = answer == NULL ? -1 : 1;
        Py_XDECREF(answer);
    }
    request_clear(&request);
    return is_finished < 0 ? -1 : 0;
}

/* The application's `close`, if there is one, while `current()` is this request's. -1 with an exception, if the request is recorded. */
static int
close_exhausted(Stream *self)
{
    if (self->body == NULL || PyGen_CheckExact(self->body)) { /* a generator at its end is closed already */
        return 0;
    }
    PyObject *body = self->body, *close;
    self->body = Py_NewRef(nothing); /* first: it is closed once, whatever is called meanwhile */
    int has_close = optional_attribute(body, name_close, &close);
    Current current = {0};
    int is_ready = has_close == 1 && current_begin(&current, self->middleware->current, self->request.context) == 0;
    PyObject *answer = is_ready ? PyObject_CallNoArgs(close) : NULL;
    PyObject *error = PyErr_Occurred() ? take_error() : NULL;
    current_end(&current);
    Py_XDECREF(answer);
    Py_XDECREF(close);
    Py_DECREF(body);
    if (error == NULL) {
        return 0;
    }
    answer = PyObject_CallMethod((PyObject *)self, "_failed_to_close", "O", error);
    if (answer == NULL) { /* a signal handler's, in the place of the application's */
        Py_DECREF(error);
        return -1;
    }
    Py_DECREF(answer);
    raise_again(error);
    return -1;
}

static PyObject *
stream_close(Stream *self, PyObject *Py_UNUSED(ignored))
{
    if (has_ended(self)) {
        Py_RETURN_NONE;
    }
    if (!self->is_exhausted || self->has_failed || handled_here() != self->handled) {
        return PyObject_CallMethod((PyObject *)self, "_end_unusually", NULL);
    }
    if (close_exhausted(self) < 0) {
        return NULL;
    }
    if (has_ended(self)) { /* the application's `close` has also closed this */
        Py_RETURN_NONE;
    }
    PyObject *context = self->request.context;
    self->request.context = Py_NewRef(Py_None); /* first: what is called at the end may come here again */
    Py_CLEAR(self->chunks);
    if (record_stream(self, context) < 0) { /* the finalizer tells it again */
        set_field((PyObject *)self, offsetof(Stream, request.context), context);
        return NULL;
    }
    Py_DECREF(context);
    set_field((PyObject *)self, offsetof(Stream, body), Py_NewRef(nothing));
    Py_RETURN_NONE;
}

#endif
