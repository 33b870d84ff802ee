/* Current: which request is served here, for as long as the application works. */
#ifndef CHEST_CURRENT_H
#define CHEST_CURRENT_H

#include <Python.h>

typedef struct {
    PyObject *variable;
    PyObject *previous;
    PyObject *token;
} Current;

/* -1 with an exception, and nothing to be given back. */
static inline int
current_begin(Current *self, PyObject *variable, PyObject *context)
{
    self->variable = variable;
    if (variable == NULL || PyContextVar_Get(variable, NULL, &self->previous) < 0) {
        return -1;
    }
    self->token = PyContextVar_Set(variable, context);
    if (self->token == NULL) {
        Py_CLEAR(self->previous);
        return -1;
    }
    return 0;
}

/* What was current before is it again. No exception may be set; -1 with one.
 *
 * By the token, which costs half of what setting it does, and leaves nothing behind where nothing was. The application may have
 * left in another `contextvars.Context` than it was called in, where the token says nothing.
 */
static inline int
current_end(Current *self)
{
    int is_done = PyContextVar_Reset(self->variable, self->token);
    Py_CLEAR(self->token);
    if (is_done < 0) {
        PyErr_Clear();
        PyObject *token = PyContextVar_Set(self->variable, self->previous == NULL ? Py_None : self->previous);
        is_done = token == NULL ? -1 : 0;
        Py_XDECREF(token);
    }
    Py_CLEAR(self->previous);
    return is_done;
}

#endif
