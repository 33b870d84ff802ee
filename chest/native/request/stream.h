/* Stream: a body of which more is to come, handed through chunk for chunk, until `close()` ends the request.
 *
 * `chest/request/body/response.py` is the same in Python, and the class that is made of both ends whatever did not end well.
 */
#ifndef CHEST_STREAM_H
#define CHEST_STREAM_H

#include <Python.h>

#include <structmember.h>

#include "system/collected.h"
#include "system/errors.h"
#include "request/current.h"
#include "request/end.h"
#include "request/stream_close.h"

/* The chunk was handed out by the application, and goes to the server; -1 if its length raised what is no TypeError. */
static int
count(Stream *self, PyObject *chunk)
{
    Py_ssize_t size = PyBytes_CheckExact(chunk) ? PyBytes_GET_SIZE(chunk) : PyUnicode_Check(chunk) ? -1 : PyObject_Size(chunk);
    if (size < 0) {
        if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_TypeError)) {
            return -1;
        }
        PyErr_Clear(); /* no bytes at all: the server says so */
        self->chunk_bytes = -1;
        return 0;
    }
    if (size && !self->first_byte_ns) {
        self->first_byte_ns = now_ns(CLOCK_MONOTONIC);
    }
    self->chunk_bytes = size;
    self->body_bytes = size > PY_SSIZE_T_MAX - self->body_bytes ? PY_SSIZE_T_MAX : self->body_bytes + size;
    return 0;
}

/* The application raised: how the request ended is noted, and the exception is raised again. */
static void
note_failure(Stream *self)
{
    self->has_failed = 1;
    PyObject *error = take_error();
    PyObject *answer = PyObject_CallMethod((PyObject *)self, "failed", "O", error);
    if (answer == NULL && pass_over_error() < 0) { /* a signal handler's, in the place of the application's */
        Py_DECREF(error);
        return;
    }
    Py_XDECREF(answer);
    raise_again(error);
}

static PyObject *
next_chunk(Stream *self)
{
    if (self->chunks == NULL && (self->chunks = PyObject_GetIter(self->body)) == NULL) {
        return NULL;
    }
    PyObject *chunks = Py_NewRef(self->chunks); /* the application may close this response while it works */
    PyObject *chunk = PyIter_Check(chunks) ? Py_TYPE(chunks)->tp_iternext(chunks) : NULL;
    Py_DECREF(chunks);
    if (chunk != NULL && count(self, chunk) == 0) {
        return chunk;
    }
    self->is_over = 1;
    if (chunk != NULL) {
        Py_DECREF(chunk);
        Py_CLEAR(self->chunks);
        return NULL;
    }
    Py_CLEAR(self->chunks);
    if (PyErr_Occurred() == NULL || PyErr_ExceptionMatches(PyExc_StopIteration)) {
        PyErr_Clear();
        self->is_exhausted = 1;
    }
    return NULL;
}

/* Whether to ask for the next chunk runs nothing of the application's. */
static int
is_silent(Stream *self)
{
    return self->chunks != NULL && (Py_IS_TYPE(self->chunks, &PyListIter_Type) || Py_IS_TYPE(self->chunks, &PyTupleIter_Type));
}

/* `current()` is this request's while the application works, and the server's own in between. */
static PyObject *
stream_next(Stream *self)
{
    if (has_ended(self) || self->is_over) {
        return NULL;
    }
    if (self->is_running) { /* by the application itself, or another thread: as a generator has it, and nothing ends of it */
        PyErr_SetString(PyExc_ValueError, "generator already executing");
        return NULL;
    }
    self->is_running = 1;
    Current current = {0};
    PyObject *context = Py_NewRef(self->request.context);
    int is_ready = is_silent(self) || current_begin(&current, self->middleware->current, context) == 0;
    Py_DECREF(context); /* it is in the variable */
    PyObject *chunk = is_ready ? next_chunk(self) : NULL;
    self->is_running = 0;
    if (chunk != NULL || !PyErr_Occurred()) {
        current_end(&current);
        return chunk;
    }
    note_failure(self);
    PyObject *error = take_error();
    current_end(&current);
    raise_again(error);
    return NULL;
}

static void
stream_finalize(Stream *self)
{
    if (has_ended(self)) {
        return;
    }
    self->is_exhausted = self->is_exhausted && !self->is_file; /* the server never closed it */
    PyObject *error = PyErr_Occurred() ? take_error() : NULL;
    PyObject *answer = PyObject_CallMethod((PyObject *)self, "_abandoned", NULL);
    if (answer == NULL) {
        PyErr_WriteUnraisable((PyObject *)self);
    }
    Py_XDECREF(answer);
    if (error != NULL) {
        raise_again(error);
    }
}

#define EACH_OF_STREAM(do) do(middleware) do(emitter) do(body) do(chunks) EACH_OF_REQUEST(do, request.)

COLLECTED(stream, Stream, EACH_OF_STREAM)

static int
has_length(PyObject *body)
{
    PyTypeObject *type = Py_TYPE(body);
    return (type->tp_as_sequence != NULL && type->tp_as_sequence->sq_length != NULL)
           || (type->tp_as_mapping != NULL && type->tp_as_mapping->mp_length != NULL);
}

/* A stream of a request that `FastMiddleware` has begun. */
static PyObject *
stream_of(FastMiddleware *middleware, Request *request, PyObject *body)
{
    PyTypeObject *type = (PyTypeObject *)(has_length(body) ? middleware->sized_stream_class : middleware->stream_class);
    Stream *self = (Stream *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->middleware = (FastMiddleware *)Py_NewRef(middleware);
    self->emitter = Py_NewRef(middleware->emitter);
    self->request = *request;
    request_hold(&self->request);
    self->body = Py_NewRef(body);
    self->handled = handled_here();
    return (PyObject *)self;
}

/* After its end a body is iterated anew if it can be; between the chunks another `iter()` goes on from the same place. */
static PyObject *
stream_iter(Stream *self)
{
    if (self->is_over && !self->is_running && self->body != NULL && !PyGen_CheckExact(self->body)) {
        self->is_over = 0;
        Py_CLEAR(self->chunks);
    }
    return Py_NewRef(self);
}

/* What is no attribute of ours is the application's, perhaps: `StreamedResponse._ask_application`. */
static PyObject *
stream_getattro(PyObject *self, PyObject *name)
{
    PyObject *value = PyObject_GenericGetAttr(self, name);
    if (value != NULL || name == name_ask_application || !PyErr_ExceptionMatches(PyExc_AttributeError)) {
        return value;
    }
    PyErr_Clear();
    PyObject *ask = PyObject_GenericGetAttr(self, name_ask_application);
    value = ask == NULL ? NULL : PyObject_CallOneArg(ask, name);
    Py_XDECREF(ask);
    return value;
}

static PyMethodDef stream_methods[] = {
    {"close", (PyCFunction)stream_close, METH_NOARGS,
     PyDoc_STR("The end: closes the application's iterable, once, and records, whatever that raises.")},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef stream_members[] = {
    {"emitter", T_OBJECT, offsetof(Stream, emitter), 0, NULL},
    {"context", T_OBJECT, offsetof(Stream, request.context), 0, NULL},
    {"tail", T_OBJECT, offsetof(Stream, request.tail), 0, NULL},
    {"request_id", T_OBJECT, offsetof(Stream, request.request_id), 0, NULL},
    {"method", T_OBJECT, offsetof(Stream, request.method), 0, NULL},
    {"path", T_OBJECT, offsetof(Stream, request.path), 0, NULL},
    {"_body", T_OBJECT, offsetof(Stream, body), 0, NULL},
    {"_asked", T_OBJECT, offsetof(Stream, chunks), 0, NULL},
    {"time_ns", T_LONGLONG, offsetof(Stream, request.time_ns), 0, NULL},
    {"begin_ns", T_LONGLONG, offsetof(Stream, request.begin_ns), 0, NULL},
    {"first_byte_ns", T_LONGLONG, offsetof(Stream, first_byte_ns), 0, NULL},
    {"handled", T_ULONGLONG, offsetof(Stream, handled), 0, NULL},
    {"body_bytes", T_PYSSIZET, offsetof(Stream, body_bytes), 0, NULL},
    {"chunk_bytes", T_PYSSIZET, offsetof(Stream, chunk_bytes), 0, NULL},
    {"_is_exhausted", T_BOOL, offsetof(Stream, is_exhausted), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot stream_slots[] = {
    {Py_tp_doc, PyDoc_STR("A body of which more is to come; see chest.request.body.response.")},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_dealloc, stream_dealloc},
    {Py_tp_finalize, stream_finalize},
    {Py_tp_traverse, stream_traverse},
    {Py_tp_clear, stream_clear},
    {Py_tp_getattro, stream_getattro},
    {Py_tp_iter, stream_iter},
    {Py_tp_iternext, stream_next},
    {Py_tp_methods, stream_methods},
    {Py_tp_members, stream_members},
    {0, NULL},
};

static PyType_Spec stream_spec = {
    .name = "chest.native._native.Stream",
    .basicsize = sizeof(Stream),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = stream_slots,
};

#endif
