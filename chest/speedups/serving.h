/* Serving: the way of a request that is like most, from `environ` to the line that the ring keeps.
 *
 * `chest/request/middleware.py` is the same in Python and knows every case. It is asked where a request begins in an unusual
 * way (`_serve`), and where one ends so (`_ended`, `_failed`, `Recording.finish`). What a request leaves is the same either way.
 *
 * The interpreter's lock is held throughout, but for what the application and the server do.
 */
#ifndef CHEST_SERVING_H
#define CHEST_SERVING_H

#include <Python.h>

#include "begin.h"
#include "current.h"
#include "end.h"
#include "layout.h"
#include "request.h"
#include "slot.h"

static PyObject *
unrecorded(Serving *self, PyObject *environ, PyObject *start_response)
{
    if (is_in(environ, key_context)) { /* of a middleware further out, it may be */
        return PyObject_CallMethodObjArgs((PyObject *)self, name_serve, environ, start_response, NULL);
    }
    PyObject *context = PyObject_CallNoArgs(self->unrecorded_context);
    int is_set = context == NULL ? -1 : PyDict_SetItem(environ, key_context, context);
    Py_XDECREF(context);
    PyObject *args[2] = {environ, start_response};
    return is_set < 0 ? NULL : PyObject_Vectorcall(self->app, args, 2, NULL);
}

static PyObject *
served(Serving *self, PyObject *environ, PyObject *start_response, Request *request)
{
    request->path = path_of(environ);
    int excluded = request->path == NULL ? 0 : is_excluded(self, request->path);
    if (excluded == 1) {
        return unrecorded(self, environ, start_response);
    }
    int has_begun = request->path == NULL || excluded < 0 ? 0 : begin(self, environ, start_response, request);
    if (has_begun < 1) {
        if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_Exception)) {
            return NULL; /* a signal handler's, such as the SystemExit of a worker that is to end */
        }
        PyErr_Clear(); /* what it was that could not be done here, Python finds out again, and counts */
        if (request->context != NULL && is_in(environ, key_context)) {
            if (PyDict_DelItem(environ, key_context) < 0) {
                return NULL;
            }
        }
        return PyObject_CallMethodObjArgs((PyObject *)self, name_serve, environ, start_response, NULL);
    }
    PyObject *args[2] = {environ, request->context};
    Current current = {0};
    int is_ready = self->is_generator || current_begin(&current, self->current, request->context) == 0;
    PyObject *body = is_ready ? PyObject_Vectorcall(self->app, args, 2, NULL) : NULL;
    if (body == NULL) {
        return failed(self, request, &current, environ); /* recorded, and noted no longer */
    }
    if (current.token != NULL && current_end(&current) < 0) {
        PyErr_Clear(); /* the request was answered */
    }
    return ended(self, request, body, environ);
}

static PyObject *
serving_call(Serving *self, PyObject *args, PyObject *kwargs)
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

#define EACH_PART(do)                                                                                                       \
    do(self->app) do(self->in_flight) do(self->request_ids) do(self->ready_request_ids)                                     \
        do(self->record_ids) do(self->ready_tails) do(self->context_class) do(self->finished_context)                      \
            do(self->unrecorded_context) do(self->stream_class) do(self->excludes) do(self->excluded_paths)                \
                do(self->header_key) do(self->known_names) do(self->offer) do(self->recording) do(self->current)           \
                    do(self->layout.type)

static int
serving_clear(Serving *self)
{
#define CLEAR(part) Py_CLEAR(part);
    EACH_PART(CLEAR)
#undef CLEAR
    Py_CLEAR(self->ring);
    names_clear(&self->names);
    mark_clear(&self->mark);
    return 0;
}

static int
is_generator_function(PyObject *app)
{
    return PyFunction_Check(app) && (((PyCodeObject *)PyFunction_GET_CODE(app))->co_flags & CO_GENERATOR);
}

static PyObject *
serving_quicken(Serving *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {
        "is_simple", "app", "mark", "in_flight", "request_ids", "ready_request_ids", "record_ids",
        "ready_tails", "context_class", "finished_context", "unrecorded_context", "stream_class", "excludes",
        "excluded_paths", "header_key", "known_names", "offer", "recording", "current", NULL,
    };
    Serving parts = {0};
    PyObject *mark;
    if (!PyArg_ParseTupleAndKeywords(
            args, kwargs, "$pOOOO!O!O!O!O!O!OO!OO!O!O!OOO!", names, &parts.is_simple, &parts.app, &mark, &parts.in_flight,
            random_ids_type, &parts.request_ids, &PyList_Type, &parts.ready_request_ids, counted_ids_type,
            &parts.record_ids, &PyList_Type, &parts.ready_tails, &PyType_Type, &parts.context_class,
            &PyType_Type, &parts.finished_context, &parts.unrecorded_context, &PyType_Type, &parts.stream_class,
            &parts.excludes, &PyFrozenSet_Type, &parts.excluded_paths, &PyUnicode_Type, &parts.header_key, &PySet_Type,
            &parts.known_names, &parts.offer, &parts.recording, &PyContextVar_Type, &parts.current
        )) {
        return NULL;
    }
    PyTypeObject *served = (PyTypeObject *)parts.context_class, *finished = (PyTypeObject *)parts.finished_context;
    if (layout_of(&parts.layout, parts.context_class) < 0) {
        return NULL;
    }
    if (served->tp_basicsize != finished->tp_basicsize || served->tp_dealloc != finished->tp_dealloc
        || !(served->tp_flags & finished->tp_flags & Py_TPFLAGS_HEAPTYPE)) {
        Py_DECREF(parts.layout.type);
        PyErr_SetString(PyExc_TypeError, "a context of the one class cannot become one of the other");
        return NULL;
    }
    (void)serving_clear(self); /* of an __init__ that is called a second time */
    const size_t head = offsetof(Serving, is_simple);
    memcpy((char *)self + head, (char *)&parts + head, sizeof(Serving) - head);
#define TAKE(part) Py_INCREF(part);
    EACH_PART(TAKE)
#undef TAKE
    Py_DECREF(self->layout.type); /* it has its reference */
    mark_take(&self->mark, mark);
    self->ring = (Offering *)Py_XNewRef((PyObject *)ring_of(self->offer));
    self->is_generator = is_generator_function(self->app);
    Py_RETURN_NONE;
}

static int
serving_traverse(Serving *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
#define VISIT(part) Py_VISIT(part);
    EACH_PART(VISIT)
#undef VISIT
    Py_VISIT(self->ring);
    Py_VISIT(self->mark.object);
    return 0;
}

static void
serving_dealloc(Serving *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    (void)serving_clear(self);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static PyMethodDef serving_methods[] = {
    {"_quicken", (PyCFunction)(void (*)(void))serving_quicken, METH_VARARGS | METH_KEYWORDS,
     PyDoc_STR("Serve requests that are like most without a line of Python; before that, each is `_serve`'s.")},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot serving_slots[] = {
    {Py_tp_doc, PyDoc_STR("The way of a request that is like most; see chest.request.middleware.")},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_dealloc, serving_dealloc},
    {Py_tp_traverse, serving_traverse},
    {Py_tp_clear, serving_clear},
    {Py_tp_call, serving_call},
    {Py_tp_methods, serving_methods},
    {0, NULL},
};

static PyType_Spec serving_spec = {
    .name = "chest.speedups._native.Serving",
    .basicsize = sizeof(Serving),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = serving_slots,
};

#endif
