/* records_of: what `chest.row.record_of` makes of rows, of the kind that most requests leave.
 *
 * In the exporter's time, and yet in every request's: both want the interpreter's lock, and half of what a record took of it
 * went into this. Any other row is handed to Python.
 */
#ifndef CHEST_RECORDS_H
#define CHEST_RECORDS_H

#include <Python.h>

#include "ids.h"

#define SHORT_FIELDS 10      /* `row.SHORT_FIELDS` */
#define ALL_FIELDS 14        /* `row.ALL_FIELDS` */
#define PATH_CHARACTERS 2048 /* `row.PATH_CHARACTERS` */
#define RECORD_FIELDS 15

typedef struct {
    PyTypeObject *record_class;
    PyObject *resource;   /* service, release, host */
    PyObject *codes;      /* of the status lines seen: `row._CODES` */
    PyObject *methods;    /* `row._KNOWN_METHODS` */
    PyObject *body_size;  /* the name of the attribute */
    PyObject *ok;
    PyObject *error;
    PyObject *in_python; /* `record_of` */
} Making;

static int
is_printable_ascii(PyObject *text)
{
    if (!PyUnicode_CheckExact(text) || !PyUnicode_IS_COMPACT_ASCII(text)) {
        return 0;
    }
    const unsigned char *bytes = PyUnicode_DATA(text);
    for (Py_ssize_t i = 0, length = PyUnicode_GET_LENGTH(text); i < length; i++) {
        if (bytes[i] < 0x20 || bytes[i] > 0x7e) {
            return 0;
        }
    }
    return 1;
}

/* The time in 16 hex digits, and the tail; NULL, perhaps without an exception, where these are not what they usually are. */
static PyObject *
record_id(PyObject *time_ns, PyObject *tail)
{
    int is_out_of_range;
    long long time = PyLong_CheckExact(time_ns) ? PyLong_AsLongLongAndOverflow(time_ns, &is_out_of_range) : -1;
    if (time < 0 || !is_printable_ascii(tail) || PyUnicode_GET_LENGTH(tail) != TAIL_CHARACTERS) {
        return NULL;
    }
    PyObject *id = PyUnicode_New(2 * TAIL_CHARACTERS, 127);
    if (id != NULL) {
        char *text = PyUnicode_DATA(id);
        for (int i = TAIL_CHARACTERS - 1; i >= 0; i--, time >>= 4) {
            text[i] = hex_digits[time & 15];
        }
        memcpy(text + TAIL_CHARACTERS, PyUnicode_DATA(tail), TAIL_CHARACTERS);
    }
    return id;
}

/* The attributes told, or a new dict, with the size of the body where there was one; a new reference. */
static PyObject *
attributes_of(const Making *making, PyObject *told, PyObject *body_bytes)
{
    PyObject *attributes = told == NULL ? PyDict_New() : Py_NewRef(told);
    int has_body = attributes == NULL ? 0 : PyObject_IsTrue(body_bytes);
    if (has_body < 0 || (has_body && PyDict_SetItem(attributes, making->body_size, body_bytes) < 0)) {
        Py_CLEAR(attributes);
    }
    return attributes;
}

/* Of a status line that was seen before, or of what is a code already; a borrowed reference, or NULL. */
static PyObject *
code_of(const Making *making, PyObject *status)
{
    PyObject *code = PyUnicode_CheckExact(status) ? PyDict_GetItemWithError(making->codes, status) : status;
    return code != NULL && PyLong_CheckExact(code) ? code : NULL;
}

/* Takes the references to the fields; NULL with an exception. */
static PyObject *
record_with(PyTypeObject *record_class, PyObject **fields)
{
#if PY_VERSION_HEX < 0x030E0000
    PyObject *record = record_class->tp_alloc(record_class, RECORD_FIELDS);
#else /* a tuple has more than its items, which only its own constructor knows */
    PyObject *record = PyTuple_New(RECORD_FIELDS);
#endif
    for (Py_ssize_t i = 0; i < RECORD_FIELDS; i++) {
        if (record == NULL) {
            Py_DECREF(fields[i]);
        }
        else {
            PyTuple_SET_ITEM(record, i, fields[i]);
        }
    }
#if PY_VERSION_HEX >= 0x030E0000
    PyObject *args = record == NULL ? NULL : PyTuple_Pack(1, record);
    Py_XSETREF(record, args == NULL ? NULL : PyTuple_Type.tp_new(record_class, args, NULL));
    Py_XDECREF(args);
#endif
    return record;
}

/* NULL, perhaps without an exception, where Python has to make it. */
static PyObject *
usual_record(const Making *making, PyObject *row)
{
    Py_ssize_t count = PyList_CheckExact(row) ? PyList_GET_SIZE(row) : 0;
    if (count != SHORT_FIELDS && count != ALL_FIELDS) {
        return NULL;
    }
    enum {
        TAIL, REQUEST_ID, TIME, CHECKED, DURATION, METHOD, PATH, STATUS, BODY_BYTES, VARIABLES, ROUTE, OUTCOME, ERROR, ATTRIBUTES
    };
    PyObject **field = ((PyListObject *)row)->ob_item;
    int is_whole = count == ALL_FIELDS;
    PyObject *told = is_whole ? field[ATTRIBUTES] : NULL;
    PyObject *path = field[PATH], *status = field[STATUS], *method = field[METHOD];
    if (!is_printable_ascii(path) || PyUnicode_GET_LENGTH(path) > PATH_CHARACTERS
        || !PyUnicode_CheckExact(method) || !PyLong_CheckExact(field[BODY_BYTES])
        || PySet_Contains(making->methods, method) != 1 || (is_whole && !PyDict_CheckExact(told))) {
        return NULL;
    }
    PyObject *code = code_of(making, status);
    if (code == NULL) {
        return NULL;
    }
    PyObject *outcome = is_whole ? field[OUTCOME] : Py_None;
    if (outcome == Py_None) {
        int is_huge;
        long number = PyLong_AsLongAndOverflow(code, &is_huge);
        outcome = is_huge > 0 || number >= 500 ? making->error : making->ok;
    }
    PyObject *id = record_id(field[TIME], field[TAIL]);
    PyObject *attributes = id == NULL ? NULL : attributes_of(making, told, field[BODY_BYTES]);
    if (attributes == NULL) {
        Py_XDECREF(id);
        return NULL;
    }
    PyObject *fields[RECORD_FIELDS] = {
        id, Py_NewRef(field[REQUEST_ID]), Py_NewRef(field[TIME]), Py_NewRef(field[DURATION]), Py_NewRef(method), Py_NewRef(path),
        Py_NewRef(is_whole ? field[ROUTE] : Py_None), Py_NewRef(code), Py_NewRef(outcome),
        Py_NewRef(is_whole ? field[ERROR] : Py_None), Py_NewRef(field[VARIABLES]), attributes,
        Py_NewRef(PyTuple_GET_ITEM(making->resource, 0)), Py_NewRef(PyTuple_GET_ITEM(making->resource, 1)),
        Py_NewRef(PyTuple_GET_ITEM(making->resource, 2)),
    };
    return record_with(making->record_class, fields);
}

static PyObject *
records_of(PyObject *Py_UNUSED(module), PyObject *args)
{
    Making making;
    PyObject *rows;
    if (!PyArg_ParseTuple(
            args, "O!O!O!O!O!UUUO", &PyList_Type, &rows, &PyTuple_Type, &making.resource, &PyType_Type, &making.record_class,
            &PyDict_Type, &making.codes, &PyFrozenSet_Type, &making.methods, &making.body_size, &making.ok, &making.error,
            &making.in_python
        )) {
        return NULL;
    }
    PyObject *names = PyObject_GetAttrString((PyObject *)making.record_class, "_fields");
    if (names == NULL) {
        return NULL;
    }
    int is_known = PyTuple_Check(names) && PyTuple_GET_SIZE(names) == RECORD_FIELDS;
    Py_DECREF(names);
    if (!is_known || PyTuple_GET_SIZE(making.resource) != 3 || !PyType_IsSubtype(making.record_class, &PyTuple_Type)) {
        PyErr_SetString(PyExc_TypeError, "a record is a tuple of 15 fields, and its resource one of three");
        return NULL;
    }
    Py_ssize_t count = PyList_GET_SIZE(rows);
    PyObject *records = PyList_New(0); /* whole at any time: the collector's lists of objects show it to others */
    for (Py_ssize_t i = 0; records != NULL && i < count; i++) {
        PyObject *row = i < PyList_GET_SIZE(rows) ? Py_NewRef(PyList_GET_ITEM(rows, i)) : NULL;
        PyObject *record = row == NULL ? NULL : usual_record(&making, row);
        if (record == NULL && row != NULL) {
            PyErr_Clear(); /* whatever it was, it comes up again, or not */
            PyObject *passed[2] = {row, making.resource};
            record = PyObject_Vectorcall(making.in_python, passed, 2, NULL);
        }
        Py_XDECREF(row);
        if (record == NULL && !PyErr_Occurred()) {
            PyErr_SetString(PyExc_RuntimeError, "the rows were changed meanwhile");
        }
        if (record == NULL || PyList_Append(records, record) < 0) {
            Py_CLEAR(records);
        }
        Py_XDECREF(record);
    }
    return records;
}

#endif
