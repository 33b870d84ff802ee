/* How a request ends: as a line that the ring keeps, or by way of Python. */
#ifndef CHEST_END_H
#define CHEST_END_H

#include <Python.h>

#include "current.h"
#include "errors.h"
#include "layout.h"
#include "line.h"
#include "names.h"
#include "offering.h"
#include "request.h"
#include "slot.h"

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

static int
is_true(PyObject *object, PyObject *name)
{
    PyObject *value = PyObject_GetAttr(object, name);
    int answer = value == NULL ? -1 : PyObject_IsTrue(value);
    Py_XDECREF(value);
    return answer;
}

/* What follows the variables in a line where an adapter said which route it was, and beside that nothing. */
static int
put_told(Line *line, PyObject *facts)
{
    Py_INCREF(facts); /* an adapter's, whose attributes may be properties */
    PyObject *route = PyObject_GetAttr(facts, name_route), *attributes = PyObject_GetAttr(facts, name_known_attributes);
    Py_DECREF(facts);
    int is_put = route != NULL && attributes != NULL && put_literal(line, ",")
                 && (route == Py_None ? put_literal(line, "null") : put_text(line, route))
                 && put_literal(line, ",null,null,") && put_known_attributes(line, attributes);
    Py_XDECREF(route);
    Py_XDECREF(attributes);
    return is_put;
}

static int
put_record(
    Line *line, Serving *self, Request *request, long long duration_ns, Py_ssize_t body_bytes, long long first_byte_ns
)
{
    PyObject *context = request->context, *status = FIELD(context, self->layout.status);
    PyObject *facts = FIELD(context, self->layout.facts);
    return put_literal(line, "[") && put_text(line, request->tail) && put_literal(line, ",")
           && put_text(line, request->request_id) && put_literal(line, ",") && put_number(line, request->time_ns)
           && put_literal(line, ",") && put_number(line, request->time_ns % CHECK) && put_literal(line, ",")
           && put_number(line, duration_ns) && put_literal(line, ",") && put_text(line, request->method)
           && put_literal(line, ",") && put_text(line, request->path) && put_literal(line, ",")
           && (status == Py_None ? put_literal(line, "null") : put_text(line, status)) && put_literal(line, ",")
           && put_number(line, body_bytes) && put_literal(line, ",")
           && put_plain_variables(line, &self->names, context, self->known_names)
           && (facts == Py_None || put_told(line, facts))
           && (!first_byte_ns || (put_literal(line, ",") && put_number(line, first_byte_ns))) && put_literal(line, "]\n");
}

/* The request is no longer being served. */
static int
forget(Serving *self, PyObject *context)
{
    PyObject *slot = FIELD(context, self->layout.in_flight);
    if (slot == Py_None || slot == NULL) {
        return 0;
    }
    FIELD(context, self->layout.in_flight) = Py_NewRef(Py_None);
    int is_done = 0;
    if (!Py_IS_TYPE(slot, slot_type)) {
        PyObject *answer = PyObject_CallMethodOneArg(self->in_flight, name_end, slot);
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

/* The same while an exception is under way, such as a signal handler's: nobody will end the request any more. */
static void
forget_amid_error(Serving *self, PyObject *context)
{
    PyObject *error = take_error();
    if (forget(self, context) < 0) {
        PyErr_Clear();
    }
    raise_again(error);
}

/* 1 where an adapter has had its last word and nothing beside the known was said; 0 where more was; -1 with an exception. */
static int
at_end(PyObject *facts, PyObject *context)
{
    Py_INCREF(facts);
    int has_more = is_true(facts, name_has_more);
    PyObject *answer = has_more ? NULL : PyObject_CallMethodOneArg(facts, name_at_end, context);
    Py_XDECREF(answer);
    Py_DECREF(facts);
    return answer == NULL ? (PyErr_Occurred() ? -1 : 0) : 1;
}

/* 1 where the record was offered; 0 where Python has to make it; -1 with an exception.
 *
 * `first_byte_ns`: of a stream, how long its first byte took; else 0.
 */
static int
finish(Serving *self, Request *request, long long duration_ns, Py_ssize_t body_bytes, long long first_byte_ns)
{
    PyObject *context = request->context, *facts = FIELD(context, self->layout.facts);
    if (!self->is_simple || facts == NULL || Py_TYPE(context) != (PyTypeObject *)self->context_class) {
        return 0;
    }
    if (facts != Py_None) {
        int is_told = at_end(facts, context);
        if (is_told < 0 && !PyErr_ExceptionMatches(PyExc_Exception)) { /* nobody else will: see Recording.finish */
            forget_amid_error(self, context);
        }
        if (is_told < 1) {
            return is_told;
        }
    }
    /* From here on what is written goes nowhere, so that another thread cannot change what was found plain. */
    Py_SET_TYPE(context, (PyTypeObject *)Py_NewRef(self->finished_context));
    Py_DECREF(self->context_class);
    set_field(context, self->layout.server_start_response, Py_NewRef(Py_None));
    set_field(context, self->layout.server_write, Py_NewRef(Py_None));
    if (FIELD(context, self->layout.facts) != facts || (facts != Py_None && is_true(facts, name_has_more))) {
        return PyErr_Occurred() ? -1 : 0;
    }
    char memory[LINE_BYTES];
    Line line;
    line_begin(&line, memory, sizeof(memory));
    if (!put_record(&line, self, request, duration_ns, body_bytes, first_byte_ns)) {
        return PyErr_Occurred() ? -1 : 0;
    }
    if (self->ring == NULL || !offered(self->ring, memory, line_length(&line))) {
        PyObject *bytes = PyBytes_FromStringAndSize(memory, line_length(&line));
        PyObject *answer = bytes == NULL ? NULL : PyObject_CallOneArg(self->offer, bytes);
        Py_XDECREF(bytes);
        if (answer == NULL) {
            return -1;
        }
        Py_DECREF(answer);
    }
    return forget(self, context) < 0 ? -1 : 1;
}

/* By way of Python: whatever goes wrong there is counted there. */
static int
finish_in_python(Serving *self, Request *request, long long duration_ns, Py_ssize_t body_bytes)
{
    PyObject *known = Py_BuildValue(
        "(OOLLLOO)", request->tail, request->request_id, request->time_ns, request->time_ns % CHECK, duration_ns,
        request->method, request->path
    );
    PyObject *size = known == NULL ? NULL : PyLong_FromSsize_t(body_bytes);
    PyObject *answer =
        size == NULL ? NULL
                     : PyObject_CallMethodObjArgs(self->recording, name_finish, known, request->context, size, NULL);
    Py_XDECREF(known);
    Py_XDECREF(size);
    Py_XDECREF(answer);
    return answer == NULL ? -1 : 0;
}

/* Something of ours raised: counted, and the request goes on; -1 for what is no Exception, such as KeyboardInterrupt. */
static int
went_wrong(Serving *self, Request *request)
{
    if (!PyErr_ExceptionMatches(PyExc_Exception)) {
        return -1;
    }
    PyObject *error = take_error();
    PyObject *answer = PyObject_CallMethodObjArgs(self->recording, name_went_wrong, request->context, error, NULL);
    Py_DECREF(error);
    Py_XDECREF(answer);
    return answer == NULL ? -1 : 0;
}

/* What the middleware does, in Python, of a request that ended in another way than most: with a body, or an exception. */
static PyObject *
told_python(Serving *self, PyObject *name, Request *request, PyObject *what, PyObject *environ)
{
    PyObject *known = Py_BuildValue(
        "(OOOOOLL)", request->context, request->tail, request->request_id, request->method, request->path,
        request->time_ns, request->begin_ns
    );
    PyObject *answer =
        known == NULL ? NULL : PyObject_CallMethodObjArgs((PyObject *)self, name, known, what, environ, NULL);
    Py_XDECREF(known);
    return answer;
}

static PyObject *
failed(Serving *self, Request *request, Current *current, PyObject *environ)
{
    PyObject *error = take_error();
    PyObject *answer = told_python(self, name_failed, request, error, environ);
    if (answer == NULL) { /* a signal handler's, it may be: that one goes on */
        Py_SETREF(error, take_error());
    }
    Py_XDECREF(answer);
    if (current->token != NULL && current_end(current) < 0) {
        PyErr_Clear();
    }
    raise_again(error);
    return NULL;
}

static PyObject *stream_of(Serving *self, Request *request, PyObject *body);

/* Takes the reference to the body, and gives one to what the server gets. */
static PyObject *
ended(Serving *self, Request *request, PyObject *body, PyObject *environ)
{
    Py_ssize_t body_bytes = 0;
    int is_whole = 1;
    if (PyList_CheckExact(body) || PyTuple_CheckExact(body)) {
        /* Recorded before it is returned: once the server has sent it, a kill must find the record in the ring. */
        body_bytes = bytes_in(body);
        if (body_bytes < 0) {
            Py_DECREF(body);
            forget_amid_error(self, request->context);
            return NULL;
        }
        is_whole = body_bytes || FIELD(request->context, self->layout.status) != Py_None || !is_in(environ, key_upgrade);
    }
    else {
        PyObject *facts = FIELD(request->context, self->layout.facts);
        Py_XINCREF(facts);
        is_whole = facts != NULL && facts != Py_None && is_true(facts, name_is_complete) == 1;
        Py_XDECREF(facts);
    }
    if (PyErr_Occurred()) { /* of an adapter's property, or a key of environ that compares itself */
        if (!PyErr_ExceptionMatches(PyExc_Exception)) {
            Py_DECREF(body);
            forget_amid_error(self, request->context);
            return NULL;
        }
        PyErr_Clear();
    }
    if (!is_whole) {
        PyObject *answer = PyGen_CheckExact(body) ? stream_of(self, request, body)
                                                  : told_python(self, name_ended, request, body, environ);
        Py_DECREF(body);
        return answer;
    }
    long long duration_ns = now_ns(CLOCK_MONOTONIC) - request->begin_ns;
    int is_finished = finish(self, request, duration_ns, body_bytes, 0);
    if ((is_finished == 0 && finish_in_python(self, request, duration_ns, body_bytes) < 0)
        || (is_finished < 0 && went_wrong(self, request) < 0)) {
        Py_DECREF(body);
        forget_amid_error(self, request->context);
        return NULL;
    }
    return body;
}

#endif
