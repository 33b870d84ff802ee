/* How a request ends: as a line that the ring keeps, or by way of Python. */
#ifndef CHEST_END_H
#define CHEST_END_H

#include <Python.h>

#include "request/body.h"
#include "request/current.h"
#include "system/errors.h"
#include "request/layout.h"
#include "flask/passage.h"
#include "ring/fast_ring.h"
#include "request/request.h"
#include "request/row.h"
#include "ring/slot.h"

/* The request is no longer being served. */
static int
forget(FastMiddleware *self, PyObject *context)
{
    PyObject *slot = FIELD(context, self->layout.in_flight);
    if (slot == Py_None || slot == NULL) {
        return 0;
    }
    FIELD(context, self->layout.in_flight) = Py_NewRef(Py_None);
    int is_done = 0;
    if (!Py_IS_TYPE(slot, slot_type)) {
        PyObject *answer = PyObject_CallMethod(self->in_flight, "end", "O", slot);
        is_done = answer == NULL ? -1 : 0;
        Py_XDECREF(answer);
    }
    else if (slot_clear_bytes((Slot *)slot) == 0) {
        is_done = PyList_Append(((Slot *)slot)->home, slot);
    }
    else {
        PyErr_Clear(); /* its file was closed, by the end of the recorder or in a forked child */
    }
    Py_DECREF(slot);
    return is_done;
}

/* The same while an exception is under way, such as a signal handler's: nothing else will end the request. */
static void
forget_amid_error(FastMiddleware *self, PyObject *context)
{
    PyObject *error = take_error();
    if (forget(self, context) < 0) {
        PyErr_Clear();
    }
    raise_again(error);
}

/* An adapter's last word; nothing of what no adapter made. -1 with an exception. */
static int
at_end(FastMiddleware *self, Metadata *metadata, PyObject *context)
{
    if (metadata == NULL || Py_IS_TYPE(metadata, (PyTypeObject *)self->metadata_class)) {
        return 0;
    }
    if (take_names(metadata, context)) {
        return 0;
    }
    PyObject *answer = PyObject_CallMethodOneArg((PyObject *)metadata, name_at_end, context);
    Py_XDECREF(answer);
    return answer == NULL ? -1 : 0;
}

/* By `RecordEmitter.sample_rate`: 1 if the record is kept, at what rate; 0 if not; -1 with an exception. */
static int
is_sampled(FastMiddleware *self, Request *request, Outcome *outcome)
{
    PyObject *id = record_id(request->time_ns, request->tail), *duration_ns = PyLong_FromLongLong(outcome->duration_ns);
    PyObject *status = FIELD(request->context, self->layout.status);
    PyObject *rate = id == NULL || duration_ns == NULL
                         ? NULL
                         : PyObject_CallFunctionObjArgs(self->sampled, id, status == NULL ? Py_None : status, duration_ns, NULL);
    Py_XDECREF(id);
    Py_XDECREF(duration_ns);
    if (rate == NULL || rate == Py_None) {
        Py_XDECREF(rate);
        return rate != NULL ? 0 : PyErr_Occurred() ? -1 : 1;
    }
    outcome->sample_rate = rate;
    return 1;
}

/* Takes the reference, which may be NULL; -1 with an exception. */
static int
offer_bytes(FastMiddleware *self, PyObject *line)
{
    PyObject *answer = line == NULL ? NULL : PyObject_CallOneArg(self->offer, line);
    Py_XDECREF(line);
    Py_XDECREF(answer);
    return answer == NULL ? -1 : 1;
}

/* What `before_record` leaves of the line; -1 with an exception. */
static int
offer_last_word(FastMiddleware *self, const char *line, Py_ssize_t size)
{
    PyObject *bytes = PyBytes_FromStringAndSize(line, size);
    PyObject *left = bytes == NULL ? NULL : PyObject_CallOneArg(self->last_word, bytes);
    Py_XDECREF(bytes);
    if (left == Py_None) {
        Py_DECREF(left);
        return 1;
    }
    return offer_bytes(self, left);
}

/* 1 if the line is kept; 0 if Python has to make it; -1 with an exception. */
static int
offer_row(FastMiddleware *self, Request *request, Metadata *metadata, Outcome *outcome)
{
    char memory[LINE_BYTES];
    Line line;
    Said said = {0};
    line_begin(&line, memory, sizeof(memory));
    int is_made = put_row(&line, self, request, metadata, outcome, &said);
    Py_XDECREF(said.attributes);
    if (!is_made) {
        return pass_over_error(); /* Python finds it out again, and tells it from what can be kept */
    }
    if (self->last_word != Py_None) {
        return offer_last_word(self, memory, line_length(&line));
    }
    if (self->ring != NULL && offered(self->ring, memory, line_length(&line))) {
        return 1;
    }
    return offer_bytes(self, PyBytes_FromStringAndSize(memory, line_length(&line)));
}

/* From here on what the application writes goes nowhere, so that the record is of one moment. */
static void
become_finished(FastMiddleware *self, PyObject *context)
{
    Py_SET_TYPE(context, (PyTypeObject *)Py_NewRef(self->finished_context));
    Py_DECREF(self->context_class);
    set_field(context, self->layout.server_start_response, Py_NewRef(Py_None));
    set_field(context, self->layout.server_write, Py_NewRef(Py_None));
}

static int
finish_with(FastMiddleware *self, Request *request, Metadata *metadata, Outcome *outcome)
{
    PyObject *context = request->context;
    if (at_end(self, metadata, context) < 0) {
        if (!PyErr_ExceptionMatches(PyExc_Exception)) { /* nothing else will: see RecordEmitter.finish */
            forget_amid_error(self, context);
        }
        return -1;
    }
    if (Py_TYPE(context) != (PyTypeObject *)self->context_class) { /* the last word was that the request is over */
        return 0;
    }
    become_finished(self, context);
    if (metadata_of(self, context) != metadata) {
        return 0;
    }
    int is_kept = metadata == NULL || !metadata->is_excluded;
    if (is_kept && self->sampled != Py_None) {
        is_kept = is_sampled(self, request, outcome);
    }
    int is_done = is_kept < 1 ? is_kept : offer_row(self, request, metadata, outcome);
    Py_CLEAR(outcome->sample_rate);
    if (is_done < 0 || (is_kept && !is_done)) {
        return is_done;
    }
    return forget(self, context) < 0 || count_request(self, request, metadata, outcome->duration_ns) < 0 ? -1 : 1;
}

/* 1 if the record was offered, or there is to be none; 0 if Python has to make it; -1 with an exception. */
static int
finish(FastMiddleware *self, Request *request, Outcome *outcome)
{
    PyObject *context = request->context;
    /* The class first: a stream's context is an attribute, which may have been set to anything. */
    if (Py_TYPE(context) != (PyTypeObject *)self->context_class || FIELD(context, self->layout.metadata) == NULL) {
        return 0;
    }
    Metadata *metadata = metadata_of(self, context);
    if (metadata == NULL && FIELD(context, self->layout.metadata) != Py_None) {
        return 0;
    }
    Py_XINCREF(metadata);
    int is_finished = finish_with(self, request, metadata, outcome);
    Py_XDECREF(metadata);
    return is_finished;
}

/* Something of ours raised: counted, and the request goes on; -1 for what is no Exception, such as KeyboardInterrupt. */
static int
went_wrong(FastMiddleware *self, Request *request)
{
    if (!PyErr_ExceptionMatches(PyExc_Exception)) {
        return -1;
    }
    PyObject *error = take_error();
    PyObject *answer = PyObject_CallMethod(self->emitter, "went_wrong", "OO", request->context, error);
    Py_DECREF(error);
    Py_XDECREF(answer);
    return answer == NULL ? -1 : 0;
}

/* What the middleware does, in Python, of a request that ended in another way than most: with a body, or an exception. */
static PyObject *
told_python(FastMiddleware *self, const char *name, Request *request, PyObject *what, PyObject *environ)
{
    PyObject *known = Py_BuildValue(
        "(OOOOOLL)", request->context, request->tail, request->request_id, request->method, request->path,
        request->time_ns, request->begin_ns
    );
    PyObject *answer = known == NULL ? NULL : PyObject_CallMethod((PyObject *)self, name, "OOO", known, what, environ);
    Py_XDECREF(known);
    return answer;
}

static PyObject *
failed(FastMiddleware *self, Request *request, Current *current, PyObject *environ)
{
    PyObject *error = take_error();
    PyObject *answer = told_python(self, "_failed", request, error, environ);
    if (answer == NULL) { /* a signal handler's, it may be: that one goes on */
        Py_SETREF(error, take_error());
    }
    Py_XDECREF(answer);
    current_end(current);
    raise_again(error);
    return NULL;
}

static PyObject *stream_of(FastMiddleware *self, Request *request, PyObject *body);
static int watch_file(FastMiddleware *self, Request *request, PyObject *file);

/* A body of which more is to come, so that its end is seen: a new reference; NULL, perhaps without an exception, if it is
 * Python's to find out what it is. */
static PyObject *
watched(FastMiddleware *self, Request *request, PyObject *body, PyObject *environ)
{
    if (!PyGen_CheckExact(body)) {
        int is_file = is_served_file(body, environ);
        if (is_file) {
            return is_file == 1 && watch_file(self, request, body) ? Py_NewRef(body) : NULL;
        }
        if (PyBytes_Check(body) || PyByteArray_Check(body) || (Py_TYPE(body)->tp_iter == NULL && !PySequence_Check(body))) {
            return NULL;
        }
    }
    return stream_of(self, request, body);
}

/* Recorded before the body is returned: once the server has sent it, a kill must find the record in the ring. */
static int
record(FastMiddleware *self, Request *request, Py_ssize_t body_bytes, PyObject *body, PyObject *environ)
{
    Outcome outcome = {.duration_ns = now_ns(CLOCK_MONOTONIC) - request->begin_ns, .body_bytes = body_bytes};
    int is_finished = finish(self, request, &outcome);
    if (is_finished == 0) {
        PyObject *answer = told_python(self, "_ended", request, body, environ);
        Py_XDECREF(answer);
        return answer == NULL ? -1 : 0;
    }
    return is_finished < 0 ? went_wrong(self, request) : 0;
}

/* Takes the reference to the body, and gives one to what the server gets. */
static PyObject *
ended(FastMiddleware *self, Request *request, PyObject *body, PyObject *environ)
{
    Py_ssize_t body_bytes = complete_bytes(self, request->context, body);
    if (body_bytes == -1) {
        PyObject *answer = watched(self, request, body, environ);
        if (answer == NULL && pass_over_error() == 0) { /* Python finds it out again */
            answer = told_python(self, "_ended", request, body, environ);
        }
        if (answer == NULL) {
            forget_amid_error(self, request->context);
        }
        Py_DECREF(body);
        return answer;
    }
    if (body_bytes < 0 || record(self, request, body_bytes, body, environ) < 0) {
        Py_DECREF(body);
        forget_amid_error(self, request->context);
        return NULL;
    }
    return body;
}

#endif
