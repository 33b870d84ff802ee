/* FastMiddleware: the road of a request, from `environ` to the line that the ring keeps.
 *
 * `chest/request/middleware.py` is the same in Python. C asks it for single values (`accepted`, `trace_of`, `clean_path`, `fragment`, ...), and
 * has it do the rest: the first request of a process, nested middleware and upgrades (`_serve`), exceptions (`_failed`), and ends whose
 * record does not fit into one short line (`_ended`). What a request leaves is the same either way.
 *
 * The interpreter's lock is held throughout, but for what the application and the server do.
 */
#ifndef CHEST_FAST_MIDDLEWARE_H
#define CHEST_FAST_MIDDLEWARE_H

#include <Python.h>

#include "request/begin.h"
#include "request/current.h"
#include "request/end.h"
#include "request/layout.h"
#include "request/request.h"
#include "request/served_file.h"
#include "request/stream.h"
#include "ring/slot.h"
#include "system/collected.h"

/* A request of an excluded path. Python serves one that a middleware further out records. */
static PyObject *
unrecorded(FastMiddleware *self, PyObject *environ, PyObject *start_response)
{
    if (is_in(environ, key_context)) {
        return PyObject_CallMethodObjArgs((PyObject *)self, name_serve, environ, start_response, NULL);
    }
    PyObject *args[2] = {environ, start_response}, *context = PyObject_CallNoArgs(self->unrecorded_context);
    int is_set = context == NULL ? -1 : PyDict_SetItem(environ, key_context, context);
    Py_XDECREF(context);
    return is_set < 0 && pass_over_error() < 0 ? NULL : PyObject_Vectorcall(self->app, args, 2, NULL);
}

static PyObject *
served(FastMiddleware *self, PyObject *environ, PyObject *start_response, Request *request)
{
    request->path = path_of(environ);
    int is_recorded = request->path == NULL ? -1 : is_included(self, request->path);
    if (is_recorded == 0) {
        return unrecorded(self, environ, start_response);
    }
    int has_begun = is_recorded == 1 ? begin(self, environ, start_response, request) : 0;
    if (has_begun < 1) {
        if (pass_over_error() < 0) {
            return NULL; /* what else could not be done here, Python finds out again, and counts */
        }
        if (request->context != NULL && is_in(environ, key_context) && PyDict_DelItem(environ, key_context) < 0
            && pass_over_error() < 0) { /* an Exception is of another key, which compares itself */
            return NULL;
        }
        return PyObject_CallMethodObjArgs((PyObject *)self, name_serve, environ, start_response, NULL);
    }
    PyObject *args[2] = {environ, request->context};
    Current current = {0};
    int is_ready = self->is_generator || current_begin(&current, self->current, request->context) == 0;
    PyObject *body = is_ready ? PyObject_Vectorcall(self->app, args, 2, NULL) : NULL;
    set_field(request->context, self->layout.environ, Py_NewRef(Py_None)); /* servers use it again */
    if (body == NULL) {
        return failed(self, request, &current, environ); /* recorded, and noted no longer */
    }
    current_end(&current);
    return ended(self, request, body, environ);
}

static PyObject *
fast_middleware_call(FastMiddleware *self, PyObject *args, PyObject *kwargs)
{
    if (self->app == NULL || kwargs != NULL || PyTuple_GET_SIZE(args) != 2
        || !PyDict_CheckExact(PyTuple_GET_ITEM(args, 0))) {
        PyObject *serve = PyObject_GetAttr((PyObject *)self, name_serve);
        PyObject *body = serve == NULL ? NULL : PyObject_Call(serve, args, kwargs);
        Py_XDECREF(serve);
        return body;
    }
    Request request = {0};
    PyObject *body = served(self, PyTuple_GET_ITEM(args, 0), PyTuple_GET_ITEM(args, 1), &request);
    request_clear(&request);
    return body;
}

#define EACH_OF_FAST_MIDDLEWARE(do) EACH_PART(do) do(layout.type) do(ring) do(fork_guard.object)

TRAVERSED(fast_middleware, FastMiddleware, EACH_OF_FAST_MIDDLEWARE)

static int
fast_middleware_clear(FastMiddleware *self)
{
    EACH_PART(CLEAR_FIELD)
    Py_CLEAR(self->layout.type);
    Py_CLEAR(self->ring);
    names_clear(&self->names);
    fork_guard_clear(&self->fork_guard);
    return 0;
}

DEALLOCATED(fast_middleware, FastMiddleware)

/* -1 with an exception if a part is missing. */
static int
take_parts(FastMiddleware *self, PyObject *named)
{
    EACH_PART(TAKE_FIELD)
    return 0;
}

/* -1 with an exception if a part is not what is done with it. */
static int
are_fit(const FastMiddleware *parts)
{
    PyTypeObject *served = (PyTypeObject *)parts->context_class, *finished = (PyTypeObject *)parts->finished_context;
    if (!PyObject_TypeCheck(parts->request_ids, random_ids_type) || !PyObject_TypeCheck(parts->record_ids, counted_ids_type)
        || !PyType_Check(served) || !PyType_Check(finished) || !PyType_Check(parts->metadata_class)
        || !PyType_IsSubtype((PyTypeObject *)parts->metadata_class, metadata_type) || !PyType_Check(parts->stream_class)
        || !PyType_IsSubtype((PyTypeObject *)parts->stream_class, stream_type) || !PyType_Check(parts->sized_stream_class)
        || !PyType_IsSubtype((PyTypeObject *)parts->sized_stream_class, stream_type)
        || !PyUnicode_CheckExact(parts->header_key) || !(parts->tally == Py_None || PyObject_TypeCheck(parts->tally, tally_type)) || !PySet_Check(parts->known_names) || !PySet_Check(parts->plain_keys) || !PySet_Check(parts->whole_kinds) || !PyList_CheckExact(parts->of_werkzeug)
        || !PyDict_CheckExact(parts->scalars) || !PyContextVar_CheckExact(parts->current)
        || !(parts->tracked == Py_None || PyFrozenSet_CheckExact(parts->tracked) || PyDict_CheckExact(parts->tracked))) {
        PyErr_SetString(PyExc_TypeError, "a part of the fast path is of another type");
        return -1;
    }
    if (served->tp_basicsize != finished->tp_basicsize || served->tp_dealloc != finished->tp_dealloc
        || !(served->tp_flags & finished->tp_flags & Py_TPFLAGS_HEAPTYPE)) {
        PyErr_SetString(PyExc_TypeError, "a context of the one class cannot become one of the other");
        return -1;
    }
    return 0;
}

static int
is_generator_function(PyObject *app)
{
    return PyFunction_Check(app) && (((PyCodeObject *)PyFunction_GET_CODE(app))->co_flags & CO_GENERATOR);
}

static PyObject *
fast_middleware_enable(FastMiddleware *self, PyObject *args, PyObject *named)
{
    PyObject *fork_guard = named == NULL ? NULL : PyDict_GetItemString(named, "fork_guard");
    if (PyTuple_GET_SIZE(args) || fork_guard == NULL) {
        PyErr_SetString(PyExc_TypeError, "the fast path needs fork_guard, by name");
        return NULL;
    }
    FastMiddleware told = {0};
    if (take_parts(&told, named) < 0 || are_fit(&told) < 0 || layout_of(&told.layout, told.context_class) < 0) {
        (void)fast_middleware_clear(&told);
        return NULL;
    }
    (void)fast_middleware_clear(self); /* of an __init__ that is called a second time */
    const size_t head = offsetof(FastMiddleware, layout);
    memcpy((char *)self + head, (char *)&told + head, sizeof(told) - head);
    fork_guard_take(&self->fork_guard, fork_guard);
    self->ring = (FastRing *)Py_XNewRef((PyObject *)ring_of(self->offer));
    self->is_generator = is_generator_function(self->app);
    self->idle = offset_of(Py_TYPE(self->in_flight), "idle");
    PyErr_Clear();
    Py_RETURN_NONE;
}

static PyMethodDef fast_middleware_methods[] = {
    {"_enable_fast_path", (PyCFunction)(void (*)(void))fast_middleware_enable, METH_VARARGS | METH_KEYWORDS,
     PyDoc_STR("Serve requests in C, which asks these parts for what it does not know; before that, each is `_serve`'s.")},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot fast_middleware_slots[] = {
    {Py_tp_doc, PyDoc_STR("The road of a request; see chest.request.middleware.")},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_dealloc, fast_middleware_dealloc},
    {Py_tp_traverse, fast_middleware_traverse},
    {Py_tp_clear, fast_middleware_clear},
    {Py_tp_call, fast_middleware_call},
    {Py_tp_methods, fast_middleware_methods},
    {0, NULL},
};

static PyType_Spec fast_middleware_spec = {
    .name = "chest.native._native.FastMiddleware",
    .basicsize = sizeof(FastMiddleware),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = fast_middleware_slots,
};

#endif
