/* A file that the server sends by itself: its `close` ends the request. */
#ifndef CHEST_SERVED_FILE_H
#define CHEST_SERVED_FILE_H

#include <Python.h>

#include "request/stream.h"

/* A new reference to what the application's own `close` is called by; NULL with an exception. */
static PyObject *
own_close(FastMiddleware *middleware, PyObject *file)
{
    PyObject *close;
    int has_close = optional_attribute(file, name_close, &close);
    if (has_close < 1) {
        return has_close < 0 ? NULL : PyObject_CallNoArgs(middleware->namespace);
    }
    PyObject *passed[2] = {NULL, close};
    PyObject *holder = PyObject_Vectorcall(middleware->namespace, passed + 1, PY_VECTORCALL_ARGUMENTS_OFFSET, only_close);
    Py_DECREF(close);
    return holder;
}

/* A file that the server sends past everything else: its `close` ends the request. 0 if it cannot be watched so. */
static int
watch_file(FastMiddleware *middleware, Request *request, PyObject *file)
{
    PyObject *holder = own_close(middleware, file);
    Stream *stream = holder == NULL ? NULL : (Stream *)stream_of(middleware, request, holder);
    Py_XDECREF(holder);
    PyObject *close = stream == NULL ? NULL : PyObject_GetAttr((PyObject *)stream, name_close);
    int is_watched = close != NULL && PyObject_SetAttr(file, name_close, close) == 0;
    if (is_watched) {
        PyObject *status = FIELD(request->context, middleware->layout.status);
        stream->is_file = stream->is_exhausted = stream->is_over = 1;
        stream->body_bytes =
            status == NULL || status == Py_None ? 0 : said_length(FIELD(request->context, middleware->layout.headers));
    }
    else if (stream != NULL) {
        Py_CLEAR(stream->request.context); /* it ends no request */
    }
    Py_XDECREF(close);
    Py_XDECREF(stream);
    return is_watched;
}

#endif
