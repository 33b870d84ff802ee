/* The row of a request that is over, as the line that the ring keeps: `chest.record.row` names its fields. */
#ifndef CHEST_ROW_H
#define CHEST_ROW_H

#include <Python.h>

#include "record/line.h"
#include "request/request.h"
#include "request/variables.h"

#define ID_CHARACTERS 255    /* `request_id.MOST_CHARACTERS` */
#define ROUTE_CHARACTERS 512 /* `fields.ROUTE_CHARACTERS` */
#define SAMPLE_RATE "chest.sample_rate"
#define TRACE_ID "trace_id"
#define PARENT_SPAN_ID "parent_span_id"
#define SPAN_ID "span_id"
#define USER "enduser.id"

/* How a request ended. */
typedef struct {
    long long duration_ns;
    long long first_byte_ns; /* of a stream, how long its first byte took; else 0 */
    Py_ssize_t body_bytes;
    PyObject *sample_rate; /* NULL if every request is kept */
} Outcome;

/* What Python makes of a field that an application or an adapter said. */
static int
put_text_by(Line *line, PyObject *function, PyObject *of)
{
    PyObject *text = text_by(function, of);
    int is_put = text != NULL && put_text(line, text);
    Py_XDECREF(text);
    return is_put;
}

static int
put_path(Line *line, FastMiddleware *self, Request *request, Metadata *metadata)
{
    return metadata == NULL || !is_said(metadata->path) ? put_text(line, request->shown_path)
                                                        : put_text_by(line, self->clean_path, metadata->path);
}

static int
put_request_id(Line *line, FastMiddleware *self, Request *request, Metadata *metadata)
{
    if (metadata == NULL || !is_said(metadata->request_id)) {
        return put_text(line, request->request_id);
    }
    return is_short_ascii(metadata->request_id, ID_CHARACTERS) ? put_text(line, metadata->request_id)
                                                               : put_text_by(line, self->clean_id, metadata->request_id);
}

/* The first fields of a row, of which the note of a request that is being served has the same. */
static int
put_head(Line *line, FastMiddleware *self, Request *request, Metadata *metadata)
{
    if (request->head_size && (metadata == NULL || !is_said(metadata->request_id))) {
        return put_bytes(line, request->head, request->head_size);
    }
    return put_literal(line, "[") && put_text(line, request->tail) && put_literal(line, ",")
           && put_request_id(line, self, request, metadata) && put_literal(line, ",") && put_number(line, request->time_ns)
           && put_literal(line, ",") && put_number(line, request->time_ns % CHECK) && put_literal(line, ",");
}

/* An adapter's is clean; an application's may hold a secret, if it is the raw path. */
static int
put_route(Line *line, FastMiddleware *self, Metadata *metadata)
{
    PyObject *route = metadata == NULL ? NULL : metadata->route;
    if (!is_said(route)) {
        return put_literal(line, "null");
    }
    int is_clean = PyUnicode_CheckExact(route)
                   && (!metadata->has_more
                       || (is_short_ascii(route, ROUTE_CHARACTERS)
                           && !may_hold_secret(PyUnicode_DATA(route), PyUnicode_GET_LENGTH(route), NULL)));
    return is_clean ? put_text(line, route) : put_text_by(line, self->clean_route, route);
}

static int
put_separator(Line *line, char *separator)
{
    int is_put = put_bytes(line, separator, 1);
    *separator = ',';
    return is_put;
}

/* The name of an attribute, and what stands before its value. */
#define put_name_of(line, separator, name) (put_separator(line, separator) && put_literal(line, "\"" name "\":"))

/* Attributes that are the program's, of exact texts: `RequestMetadata.known_attributes`. */
static int
put_known_attributes(Line *line, PyObject *attributes, char *separator)
{
    Py_ssize_t position = 0;
    PyObject *name, *value;
    if (!is_said(attributes)) {
        return 1;
    }
    if (!PyDict_CheckExact(attributes)) {
        return 0;
    }
    while (PyDict_Next(attributes, &position, &name, &value)) {
        if (!put_separator(line, separator) || !put_text(line, name) || !put_literal(line, ":") || !put_text(line, value)) {
            return 0;
        }
    }
    return 1;
}

/* `trace.Trace` */
static int
put_trace(Line *line, PyObject *trace, char *separator)
{
    if (!is_said(trace)) {
        return 1;
    }
    if (!PyTuple_Check(trace) || PyTuple_GET_SIZE(trace) != 3) {
        return 0;
    }
    PyObject *parent = PyTuple_GET_ITEM(trace, 1), *span = PyTuple_GET_ITEM(trace, 2);
    return put_name_of(line, separator, TRACE_ID) && put_text(line, PyTuple_GET_ITEM(trace, 0))
           && (parent == Py_None || (put_name_of(line, separator, PARENT_SPAN_ID) && put_text(line, parent)))
           && (span == Py_None || (put_name_of(line, separator, SPAN_ID) && put_text(line, span)));
}

/* The id of the user, cleaned by `Selection.clean_user`; an empty text is not kept. */
static int
put_user(Line *line, FastMiddleware *self, PyObject *user, char *separator)
{
    if (!is_said(user)) {
        return 1;
    }
    PyObject *kept = text_by(self->clean_user, user);
    int is_put = kept != NULL
                 && (PyUnicode_GET_LENGTH(kept) == 0 || (put_name_of(line, separator, USER) && put_text(line, kept)));
    Py_XDECREF(kept);
    return is_put;
}

/* Those in the dict, as Python encodes them: without the brackets. */
static int
put_attributes_said(Line *line, FastMiddleware *self, Said *said, char *separator)
{
    if (said->attributes == NULL || PyDict_GET_SIZE(said->attributes) == 0) {
        return 1;
    }
    PyObject *encoded = PyObject_CallOneArg(self->encode, said->attributes);
    int is_put = encoded != NULL && PyBytes_CheckExact(encoded) && PyBytes_GET_SIZE(encoded) > 2 && put_separator(line, separator)
                 && put_bytes(line, PyBytes_AS_STRING(encoded) + 1, PyBytes_GET_SIZE(encoded) - 2);
    Py_XDECREF(encoded);
    return is_put;
}

static int
put_attributes(Line *line, FastMiddleware *self, PyObject *context, Metadata *metadata, Outcome *outcome, Said *said)
{
    char separator = '{';
    PyObject *scheme = FIELD(context, self->layout.scheme);
    if (metadata != NULL && is_said(metadata->attributes)) { /* of any kind: Python's to clean, and what may replace it with them */
        PyObject *attributes = attributes_said(said);
        int is_set = attributes != NULL && (!is_said(scheme) || PyDict_SetItem(attributes, key_url_scheme, scheme) == 0);
        PyObject *answer = is_set ? PyObject_CallFunctionObjArgs(self->add_metadata, (PyObject *)metadata, attributes, NULL) : NULL;
        Py_XDECREF(answer);
        if (answer == NULL || !put_attributes_said(line, self, said, &separator)) {
            return 0;
        }
    }
    else if (!put_attributes_said(line, self, said, &separator)
             || (is_said(scheme) && !(put_name_of(line, &separator, URL_SCHEME) && put_text(line, scheme)))
             || (metadata != NULL
                 && (!put_known_attributes(line, metadata->known_attributes, &separator)
                     || !put_trace(line, metadata->trace, &separator) || !put_user(line, self, metadata->user, &separator)))) {
        return 0;
    }
    if (outcome->first_byte_ns
        && !(put_name_of(line, &separator, TIME_TO_FIRST_BYTE) && put_number(line, outcome->first_byte_ns))) {
        return 0;
    }
    if (outcome->sample_rate != NULL
        && !(put_name_of(line, &separator, SAMPLE_RATE) && put_plain_value(line, outcome->sample_rate, NULL))) {
        return 0;
    }
    return (separator == ',' || put_literal(line, "{")) && put_literal(line, "}");
}

/* The fields after the variables: usually the time to the first byte, or 0; else the route, the outcome if the status does not say it,
 * the error, and attributes. */
static int
put_rest(Line *line, FastMiddleware *self, PyObject *context, Metadata *metadata, Outcome *outcome, Said *said)
{
    int has_said = said->attributes != NULL && PyDict_GET_SIZE(said->attributes);
    if (metadata == NULL && !has_said && outcome->sample_rate == NULL && FIELD(context, self->layout.scheme) == text_http) {
        return put_literal(line, ",") && put_number(line, outcome->first_byte_ns);
    }
    int has_error = metadata != NULL && is_said(metadata->error);
    return put_literal(line, ",") && put_route(line, self, metadata) && put_literal(line, ",null,")
           && (has_error ? put_text(line, metadata->error) : put_literal(line, "null")) && put_literal(line, ",")
           && put_attributes(line, self, context, metadata, outcome, said);
}

/* The names of the variables that are kept; NULL if all are. A borrowed reference. */
static PyObject *
tracked_of(FastMiddleware *self, PyObject *method)
{
    if (!PyDict_CheckExact(self->tracked)) {
        return self->tracked == Py_None ? NULL : self->tracked;
    }
    PyObject *names = PyDict_GetItemWithError(self->tracked, method);
    return names != NULL ? names : PyDict_GetItemWithError(self->tracked, Py_None);
}

/* 0, perhaps with an exception, if Python has to make it. */
static int
put_row(Line *line, FastMiddleware *self, Request *request, Metadata *metadata, Outcome *outcome, Said *said)
{
    PyObject *context = request->context, *status = FIELD(context, self->layout.status);
    Py_ssize_t written = metadata == NULL ? 0 : metadata->written_bytes, body_bytes = outcome->body_bytes;
    body_bytes = written > PY_SSIZE_T_MAX - body_bytes ? PY_SSIZE_T_MAX : body_bytes + written;
    return status != NULL && put_head(line, self, request, metadata) && put_number(line, outcome->duration_ns) && put_literal(line, ",") && put_text(line, request->method)
           && put_literal(line, ",") && put_path(line, self, request, metadata) && put_literal(line, ",")
           && (status == Py_None ? put_literal(line, "null") : put_text(line, status)) && put_literal(line, ",")
           && put_number(line, body_bytes) && put_literal(line, ",")
           && put_variables(line, self, context, tracked_of(self, request->method), said)
           && put_rest(line, self, context, metadata, outcome, said) && put_literal(line, "]\n");
}

#endif
