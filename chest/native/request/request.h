/* Request: what is known of one request while it is served, and FastMiddleware: what its middleware knows of all of them. */
#ifndef CHEST_REQUEST_H
#define CHEST_REQUEST_H

#include <Python.h>

#include <time.h>

#include "record/ids.h"
#include "request/layout.h"
#include "request/metadata.h"
#include "ring/fork_guard.h"
#include "record/names.h"
#include "ring/fast_ring.h"
#include "ring/tally.h"
#include "system/collected.h"
#include "system/errors.h"

#define ENVIRON_KEY "chest.context"
#define SANITIZED "chest.sanitized"

/* What `RequestMiddleware._make_fast` tells, under these names. */
#define EACH_PART(do)                                                                                                       \
    do(app) do(offer) do(emitter) do(current) do(in_flight) do(request_ids) do(record_ids)                                  \
    do(context_class) do(finished_context) do(unrecorded_context) do(metadata_class) do(stream_class) do(sized_stream_class) \
    do(namespace)   /* `types.SimpleNamespace` */                                                                           \
    do(header_key)                                                                                                          \
    do(asks_for_id) /* True if the user's generator makes the request's id */                                               \
    do(known_names) do(plain_keys) do(scalars) do(whole_kinds) do(of_werkzeug)                                              \
    do(tracked)     /* None, names, or names by method */                                                                   \
    /* What Python is asked for: one value, or one header. Each owns its rule. */                                           \
    do(accepted) do(trace_of) do(clean_path) do(clean_route) do(clean_id) do(clean_user) do(fragment) do(whole_bytes)       \
    do(add_metadata) do(encode)                                                                                             \
    do(excludes)    /* None if no path is excluded */                                                                       \
    do(sampled)     /* None if every request is kept */                                                                     \
    do(last_word)   /* None without `before_record` */                                                                      \
    do(tally)       /* None if requests are not counted */

typedef struct {
    PyObject_HEAD
    Layout layout;
    ForkGuard fork_guard;
    Names names;     /* of the variables of the last request */
    FastRing *ring;  /* whose `offer_line` the offer is; NULL if it is another's */
    int is_generator; /* to call the application runs none of its code: its first chunk does */
    Py_ssize_t idle; /* where `in_flight` has its free slots; -1 if it is of another kind */
    EACH_PART(DECLARE_FIELD)
} FastMiddleware;

#define HEAD_BYTES 160 /* what most rows begin with is shorter */

#define EACH_OF_REQUEST(do, of)                                                                                             \
    do(of path)       /* as it came */                                                                                      \
    do(of shown_path) /* as it may be kept */                                                                               \
    do(of method) do(of request_id) do(of tail) do(of context)

typedef struct {
    EACH_OF_REQUEST(DECLARE_FIELD, )
    long long time_ns;
    long long begin_ns;
    int head_size; /* 0 if the head of the row is yet to be made */
    char head[HEAD_BYTES];
} Request;

static void
request_hold(Request *self)
{
    EACH_OF_REQUEST(HOLD_FIELD, )
}

static void
request_clear(Request *self)
{
    EACH_OF_REQUEST(CLEAR_FIELD, )
}

static PyTypeObject *fast_middleware_type;
static PyObject *key_path, *key_script, *key_method, *key_trace, *key_scheme, *key_upgrade, *key_context, *key_file_wrapper,
    *key_sanitized, *text_https, *nothing, *only_close;
static PyObject *name_serve, *name_begin, *name_at_end, *name_close, *name_read, *name_fileno, *name_new_id;

static long long
now_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* The request's metadata; NULL if nothing was said. A borrowed reference. */
static inline Metadata *
metadata_of(const FastMiddleware *self, PyObject *context)
{
    PyObject *metadata = FIELD(context, self->layout.metadata);
    return metadata != NULL && PyObject_TypeCheck(metadata, metadata_type) ? (Metadata *)metadata : NULL;
}

/* A new object of a class that is made without arguments; NULL with an exception. */
static PyObject *
new_object(PyObject *kind)
{
    return ((PyTypeObject *)kind)->tp_new((PyTypeObject *)kind, nothing, NULL);
}

/* A text that Python makes of this; a new reference, or NULL if it makes none. */
static PyObject *
text_by(PyObject *function, PyObject *of)
{
    Py_INCREF(of); /* others may let it go meanwhile */
    PyObject *text = PyObject_CallOneArg(function, of);
    Py_DECREF(of);
    if (text != NULL && !PyUnicode_CheckExact(text)) {
        Py_CLEAR(text);
    }
    return text;
}

/* `fields.is_plain` */
static inline int
is_plain(PyObject *part)
{
    return part == Py_None || PyUnicode_CheckExact(part);
}

/* The place in the tally of a request that ended with what its status and its metadata say; -1 with an exception. */
static Py_ssize_t
place_in_tally(FastMiddleware *self, Request *request, Metadata *metadata)
{
    PyObject *status = FIELD(request->context, self->layout.status);
    PyObject *route = metadata == NULL || metadata->route == NULL ? Py_None : metadata->route;
    PyObject *error = metadata == NULL || metadata->error == NULL ? Py_None : metadata->error;
    status = status == NULL ? Py_None : status;
    const int may_be_known = is_plain(route) && is_plain(status) && is_plain(error);
    PyObject *key = PyTuple_Pack(5, request->method, route, status, error, Py_None);
    PyObject *place = key == NULL || !may_be_known ? NULL : Py_XNewRef(PyDict_GetItemWithError(((Tally *)self->tally)->known, key));
    if (key != NULL && place == NULL && !PyErr_Occurred()) {
        PyObject *program = metadata == NULL || metadata->known_attributes == NULL ? Py_None : metadata->known_attributes;
        place = PyObject_CallMethod(self->emitter, "place_of", "OO", key, program);
    }
    Py_XDECREF(key);
    Py_ssize_t found = place == NULL ? -1 : PyLong_AsSsize_t(place);
    Py_XDECREF(place);
    return found;
}

/* Count a request, whether its record is kept or not; -1 with an exception that is no fault of the count. */
static int
count_request(FastMiddleware *self, Request *request, Metadata *metadata, long long duration_ns)
{
    if (self->tally == Py_None || (metadata != NULL && metadata->is_excluded)) {
        return 0;
    }
    PyObject *said = metadata == NULL || !is_said(metadata->request_id) ? request->request_id : metadata->request_id;
    PyObject *request_id = is_short_ascii(said, TALLY_LABELS - TALLY_EXEMPLAR_ID) ? Py_NewRef(said) : text_by(self->clean_id, said);
    Py_ssize_t place = request_id == NULL ? -1 : place_in_tally(self, request, metadata);
    int is_counted = place < 0 ? -1 : tally_count((Tally *)self->tally, place, request->time_ns + duration_ns, duration_ns, request_id);
    Py_XDECREF(request_id);
    return is_counted < 0 ? pass_over_error() : 0;
}

#endif
