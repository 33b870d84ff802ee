/* flat_rows: the values of many rows one after another, as a statement that stores them binds them.
 *
 * `chest.chests.sql.sqlite.table` is the same in Python.
 */
#ifndef CHEST_FLAT_ROWS_H
#define CHEST_FLAT_ROWS_H

#include <Python.h>

/* How many of the last values are the very same in all rows: `most` or none; -1 with an exception if it is no list of such rows. */
static Py_ssize_t
shared_values(PyObject *rows, Py_ssize_t width, Py_ssize_t most)
{
    Py_ssize_t shared = most;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(rows); i++) {
        PyObject *first = PyList_GET_ITEM(rows, 0), *row = PyList_GET_ITEM(rows, i);
        if (!PyTuple_CheckExact(row) || PyTuple_GET_SIZE(row) != width) {
            PyErr_SetString(PyExc_TypeError, "rows are tuples of one length");
            return -1;
        }
        for (Py_ssize_t place = width - shared; place < width; place++) {
            if (PyTuple_GET_ITEM(row, place) != PyTuple_GET_ITEM(first, place)) {
                shared = 0;
            }
        }
    }
    return shared;
}

static PyObject *
flat_rows(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *rows, *no_value;
    Py_ssize_t most;
    unsigned long long nullable; /* a bit a place */
    if (!PyArg_ParseTuple(args, "O!nKO", &PyList_Type, &rows, &most, &nullable, &no_value)) {
        return NULL;
    }
    Py_ssize_t count = PyList_GET_SIZE(rows);
    PyObject *first = count ? PyList_GET_ITEM(rows, 0) : NULL;
    Py_ssize_t width = first != NULL && PyTuple_CheckExact(first) ? PyTuple_GET_SIZE(first) : 0;
    Py_ssize_t shared = shared_values(rows, width, most < width && most >= 0 ? most : 0);
    PyObject *values = shared < 0 ? NULL : PyTuple_New(shared + count * (width - shared));
    if (values == NULL) {
        return NULL;
    }
    Py_ssize_t at = 0, own = width - shared;
    for (Py_ssize_t place = own; place < width; place++) {
        PyTuple_SET_ITEM(values, at++, Py_NewRef(PyTuple_GET_ITEM(first, place)));
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *row = PyList_GET_ITEM(rows, i);
        for (Py_ssize_t place = 0; place < own; place++) {
            PyObject *value = PyTuple_GET_ITEM(row, place);
            int is_replaced = value == Py_None && place < 64 && (nullable >> place & 1);
            PyTuple_SET_ITEM(values, at++, Py_NewRef(is_replaced ? no_value : value));
        }
    }
    return Py_BuildValue("nN", shared, values);
}

#endif
