/* An exception that is under way, put aside while something else runs. */
#ifndef CHEST_ERRORS_H
#define CHEST_ERRORS_H

#include <Python.h>

/* 1 with a new reference to the attribute; 0 without the attribute and without an exception; -1 with one. */
static inline int
optional_attribute(PyObject *object, PyObject *name, PyObject **attribute)
{
#if PY_VERSION_HEX >= 0x030D0000
    return PyObject_GetOptionalAttr(object, name, attribute);
#else
    return _PyObject_LookupAttr(object, name, attribute);
#endif
}

/* What went wrong in here is no fault of the application's: an Exception is cleared. -1 if another is set, such as the SystemExit of a
 * worker that is to end, or a KeyboardInterrupt. */
static inline int
pass_over_error(void)
{
    if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_Exception)) {
        return -1;
    }
    PyErr_Clear();
    return 0;
}

#if PY_VERSION_HEX >= 0x030C0000

static inline PyObject *
take_error(void)
{
    return PyErr_GetRaisedException();
}

static inline void
raise_again(PyObject *error)
{
    PyErr_SetRaisedException(error);
}

#else

static inline PyObject *
take_error(void)
{
    PyObject *type, *error, *trace;
    PyErr_Fetch(&type, &error, &trace);
    PyErr_NormalizeException(&type, &error, &trace);
    if (trace != NULL) {
        PyException_SetTraceback(error, trace);
        Py_DECREF(trace);
    }
    Py_XDECREF(type);
    return error;
}

/* Takes the reference. */
static inline void
raise_again(PyObject *error)
{
    PyErr_Restore(Py_NewRef((PyObject *)Py_TYPE(error)), error, PyException_GetTraceback(error));
}

#endif

#endif
