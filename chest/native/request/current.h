/* Current: which request is served here, for as long as the application works. */
#ifndef CHEST_CURRENT_H
#define CHEST_CURRENT_H

#include <Python.h>

typedef struct {
    PyObject *variable;
    PyObject *token;
} Current;

/* -1 with an exception, and nothing to be given back. */
static inline int
current_begin(Current *self, PyObject *variable, PyObject *context)
{
    self->variable = variable;
    self->token = PyContextVar_Set(variable, context);
    return self->token == NULL ? -1 : 0;
}

/* What the token says was current before; None if nothing was. A new reference. */
static PyObject *
current_before(PyObject *token)
{
    PyObject *missing = PyObject_GetAttrString(token, "MISSING");
    PyObject *before = missing == NULL ? NULL : PyObject_GetAttrString(token, "old_value");
    Py_XDECREF(missing);
    if (before != NULL && before == missing) {
        Py_SETREF(before, Py_NewRef(Py_None));
    }
    return before;
}

/* What was current before is it again. No exception may be set, and none is afterwards: the request was answered.
 *
 * By the token, which costs half of what setting it does, and leaves nothing behind if nothing was current. The application may have
 * left in another `contextvars.Context` than it was called in; there it has to be set.
 */
static inline void
current_end(Current *self)
{
    if (self->token != NULL && PyContextVar_Reset(self->variable, self->token) < 0) {
        PyErr_Clear();
        PyObject *before = current_before(self->token);
        PyObject *token = before == NULL ? NULL : PyContextVar_Set(self->variable, before);
        Py_XDECREF(before);
        Py_XDECREF(token);
        PyErr_Clear();
    }
    Py_CLEAR(self->token);
}

#endif
