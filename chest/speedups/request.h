/* Request: what is known of one request while it is served, and Serving: what its middleware knows of all of them. */
#ifndef CHEST_REQUEST_H
#define CHEST_REQUEST_H

#include <Python.h>

#include <time.h>

#include "ids.h"
#include "layout.h"
#include "mark.h"
#include "names.h"
#include "notes.h"
#include "offering.h"

typedef struct {
    PyObject_HEAD
    int is_simple;    /* nothing is left out but what redaction hides */
    int is_generator; /* to call the application runs none of its code: its first chunk does */
    Layout layout;
    Mark mark;
    Names names;     /* of the variables of the last request */
    Offering *ring;  /* whose `offer_line` the offer is; NULL where it is another's */
    PyObject *app;
    PyObject *in_flight;
    PyObject *request_ids;
    PyObject *ready_request_ids;
    PyObject *record_ids;
    PyObject *ready_tails;
    PyObject *context_class;
    PyObject *finished_context;
    PyObject *unrecorded_context;
    PyObject *stream_class;
    PyObject *excludes;
    PyObject *excluded_paths;
    PyObject *header_key;
    PyObject *known_names;
    PyObject *offer;
    PyObject *recording;
    PyObject *current;
} Serving;

typedef struct {
    PyObject *path;
    PyObject *method;
    PyObject *request_id;
    PyObject *tail;
    PyObject *context;
    long long time_ns;
    long long begin_ns;
} Request;

static PyTypeObject *serving_type;
static PyObject *key_path, *key_script, *key_method, *key_trace, *key_upgrade, *key_context, *nothing;
static PyObject *name_serve, *name_ended, *name_failed, *name_finish, *name_went_wrong, *name_begin, *name_end,
    *name_is_complete, *name_has_more, *name_at_end, *name_route, *name_known_attributes;

static long long
now_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

#endif
