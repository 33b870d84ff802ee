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
#include "ring/in_flight_slots.h"
#include "ring/fast_ring.h"
#include "ring/tally.h"
#include "system/collected.h"

#define ENVIRON_KEY "chest.context"
#define SANITIZED "chest.sanitized"

typedef struct {
    PyObject_HEAD
    int asks_for_id;   /* the user's generator makes the request's id */
    int is_generator;  /* to call the application runs none of its code: its first chunk does */
    Layout layout;
    ForkGuard fork_guard;
    Names names;    /* of the variables of the last request */
    FastRing *ring; /* whose `offer_line` the offer is; NULL if it is another's */
    PyObject *app;
    PyObject *in_flight;
    PyObject *request_ids;
    PyObject *record_ids;
    PyObject *context_class;
    PyObject *finished_context;
    PyObject *unrecorded_context;
    PyObject *metadata_class;
    PyObject *stream_class;
    PyObject *sized_stream_class;
    PyObject *namespace; /* `types.SimpleNamespace` */
    PyObject *excludes;
    PyObject *excluded_paths;
    PyObject *header_key;
    PyObject *known_names;
    PyObject *plain_keys;
    PyObject *scalars;
    PyObject *tracked; /* None, names, or names by method */
    PyObject *offer;
    PyObject *emitter;
    PyObject *current;
    /* What Python is asked for: one value, or one header. Each owns its rule. */
    PyObject *accepted;
    PyObject *trace_of;
    PyObject *clean_path;
    PyObject *clean_route;
    PyObject *clean_id;
    PyObject *clean_user;
    PyObject *fragment;
    PyObject *whole_bytes;
    PyObject *whole_kinds;
    PyObject *of_werkzeug;
    PyObject *add_metadata;
    PyObject *encode;
    PyObject *sampled;   /* None if every request is kept */
    PyObject *last_word; /* None without `before_record` */
    PyObject *tally;     /* None if requests are not counted */
} FastMiddleware;

#define HEAD_BYTES 160 /* what most rows begin with is shorter */

typedef struct {
    PyObject *path;       /* as it came */
    PyObject *shown_path; /* as it may be kept */
    PyObject *method;
    PyObject *request_id;
    PyObject *tail;
    PyObject *context;
    long long time_ns;
    long long begin_ns;
    int head_size; /* 0 if the head of the row is yet to be made */
    char head[HEAD_BYTES];
} Request;

#define EACH_OF_REQUEST(do, of) do(of path) do(of shown_path) do(of method) do(of request_id) do(of tail) do(of context)

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
static PyObject *name_serve, *name_ended, *name_failed, *name_finish, *name_went_wrong, *name_begin, *name_end,
    *name_at_end, *name_close, *name_read, *name_fileno, *name_new_id;

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

/* A text that Python makes of this; a new reference, or NULL if it makes none. */
static PyObject *
text_by(PyObject *function, PyObject *of)
{
    PyObject *text = PyObject_CallOneArg(function, of);
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
        place = PyObject_CallMethodObjArgs(self->emitter, name_place_of, key, program, NULL);
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
    PyObject *request_id = Py_NewRef(metadata == NULL || !is_said(metadata->request_id) ? request->request_id : metadata->request_id);
    if (!is_short_ascii(request_id, TALLY_LABELS - TALLY_EXEMPLAR_ID)) {
        Py_SETREF(request_id, text_by(self->clean_id, request_id));
    }
    Py_ssize_t place = request_id == NULL ? -1 : place_in_tally(self, request, metadata);
    int is_counted = place < 0 ? -1 : tally_count((Tally *)self->tally, place, request->time_ns + duration_ns, duration_ns, request_id);
    Py_XDECREF(request_id);
    if (is_counted < 0 && (!PyErr_Occurred() || PyErr_ExceptionMatches(PyExc_Exception))) {
        PyErr_Clear();
        return 0;
    }
    return is_counted;
}

#endif
