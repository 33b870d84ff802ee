/* RecordDecoder: what `chest.record.row.record_of` makes of rows, of the kind that most requests leave; and records_of.
 *
 * In the delivery thread's time, and yet in every request's: both want the interpreter's lock, and half of what a record took of it
 * went into this. Any other row is handed to Python.
 */
#ifndef CHEST_RECORDS_H
#define CHEST_RECORDS_H

#include <Python.h>

#include "record/ids.h"

#define SHORT_FIELDS 10      /* `row.SHORT_FIELDS` */
#define HTTP_FIELDS 11       /* `row.HTTP_FIELDS` */
#define ALL_FIELDS 14        /* `row.ALL_FIELDS` */
#define PATH_CHARACTERS 2048 /* `row.PATH_CHARACTERS` */
#define RECORD_FIELDS 15     /* `row._FIRST_FIELDS`; those that were added since are None in a usual row */

#define URL_SCHEME "url.scheme"                             /* `row.URL_SCHEME` */
#define TIME_TO_FIRST_BYTE "chest.time_to_first_byte_ns" /* `row.TIME_TO_FIRST_BYTE` */

static PyObject *key_url_scheme, *key_first_byte, *text_http;

/* The places of a row's values. */
enum {
    TAIL, REQUEST_ID, TIME, CHECKED, DURATION, METHOD, PATH, STATUS, BODY_BYTES, VARIABLES, ROUTE, OUTCOME, ERROR, ATTRIBUTES, FIRST_BYTE = ROUTE
};

typedef struct {
    PyTypeObject *record_class;
    PyObject *resource;   /* service, release, host */
    PyObject *codes;      /* of the status lines seen: `row._CODES` */
    PyObject *methods;    /* `row._KNOWN_METHODS` */
    PyObject *body_size;  /* the name of the attribute */
    PyObject *ok;
    PyObject *error;
    PyObject *in_python; /* `record_of`, or `encoded_record_of` */
    Py_ssize_t fields;   /* of a record: `RECORD_FIELDS` or more */
    int is_encoded;      /* variables and attributes are JSON text */
} RecordDecoder;

/* `row.has_body` */
static int
is_sent_with_body(PyObject *method, long code)
{
    return code >= 200 && code != 204 && code != 304 && PyUnicode_CompareWithASCIIString(method, "HEAD") != 0;
}

/* `attributes_of` as JSON text; NULL, perhaps without an exception, if Python has to make it. */
static PyObject *
attributes_text(const RecordDecoder *decoder, PyObject *told, PyObject *first_byte_ns, PyObject *body_bytes, int is_sent)
{
    char memory[2 * LINE_BYTES];
    Line line;
    line_begin(&line, memory, (Py_ssize_t)sizeof(memory));
    Py_ssize_t told_size = 2, name_size;
    const char *told_text = told == NULL ? "{}" : PyUnicode_AsUTF8AndSize(told, &told_size);
    const char *name = PyUnicode_AsUTF8AndSize(decoder->body_size, &name_size);
    long long first_byte = first_byte_ns == NULL ? 0 : PyLong_AsLongLong(first_byte_ns), size = is_sent ? PyLong_AsLongLong(body_bytes) : 0;
    if (told_text == NULL || name == NULL || PyErr_Occurred() || (size && strstr(told_text, name) != NULL)
        || !put_bytes(&line, told_text, told_size - 1)) {
        return NULL;
    }
    int is_put = first_byte_ns == NULL || put_literal(&line, "\"" URL_SCHEME "\":\"http\"");
    if (first_byte) {
        is_put = is_put && put_literal(&line, ",\"" TIME_TO_FIRST_BYTE "\":") && put_number(&line, first_byte);
    }
    if (size) {
        is_put = is_put && (line_length(&line) == 1 || put_literal(&line, ",")) && put_quoted(&line, name, name_size) && put_literal(&line, ":")
                 && put_number(&line, size);
    }
    is_put = is_put && put_literal(&line, "}");
    return is_put ? PyUnicode_DecodeUTF8(memory, line_length(&line), NULL) : NULL;
}

/* The attributes told, or those of a request by http, with the size of the body if one was sent; a new reference. */
static PyObject *
attributes_of(const RecordDecoder *decoder, PyObject *told, PyObject *first_byte_ns, PyObject *body_bytes, int is_sent)
{
    PyObject *attributes = told == NULL ? PyDict_New() : Py_NewRef(told);
    if (attributes != NULL && first_byte_ns != NULL) {
        int is_streamed = PyObject_IsTrue(first_byte_ns);
        if (is_streamed < 0 || PyDict_SetItem(attributes, key_url_scheme, text_http) < 0
            || (is_streamed && PyDict_SetItem(attributes, key_first_byte, first_byte_ns) < 0)) {
            Py_CLEAR(attributes);
        }
    }
    int has_body = attributes == NULL || !is_sent ? 0 : PyObject_IsTrue(body_bytes);
    if (has_body < 0 || (has_body && PyDict_SetItem(attributes, decoder->body_size, body_bytes) < 0)) {
        Py_CLEAR(attributes);
    }
    return attributes;
}

/* Of a status line that was seen before, or of what is a code already; a borrowed reference, or NULL. */
static PyObject *
code_of(const RecordDecoder *decoder, PyObject *status)
{
    PyObject *code = PyUnicode_CheckExact(status) ? PyDict_GetItemWithError(decoder->codes, status) : status;
    return code != NULL && PyLong_CheckExact(code) ? code : NULL;
}

/* Takes the references to the fields; NULL with an exception. */
static PyObject *
record_with(const RecordDecoder *decoder, PyObject **fields)
{
    PyTypeObject *record_class = decoder->record_class;
#if PY_VERSION_HEX < 0x030E0000
    PyObject *record = record_class->tp_alloc(record_class, decoder->fields);
#else /* a tuple has more than its items, which only its own constructor knows */
    PyObject *record = PyTuple_New(decoder->fields);
#endif
    for (Py_ssize_t i = 0; i < RECORD_FIELDS; i++) {
        if (record == NULL) {
            Py_DECREF(fields[i]);
        }
        else {
            PyTuple_SET_ITEM(record, i, fields[i]);
        }
    }
    for (Py_ssize_t i = RECORD_FIELDS; record != NULL && i < decoder->fields; i++) {
        PyTuple_SET_ITEM(record, i, Py_NewRef(Py_None));
    }
#if PY_VERSION_HEX >= 0x030E0000
    PyObject *args = record == NULL ? NULL : PyTuple_Pack(1, record);
    Py_XSETREF(record, args == NULL ? NULL : PyTuple_Type.tp_new(record_class, args, NULL));
    Py_XDECREF(args);
#endif
    return record;
}

/* NULL, perhaps without an exception, if Python has to make it. */
static PyObject *
usual_record(const RecordDecoder *decoder, PyObject **field, Py_ssize_t count)
{
    if (count != SHORT_FIELDS && count != HTTP_FIELDS && count != ALL_FIELDS) {
        return NULL;
    }
    int is_whole = count == ALL_FIELDS;
    PyObject *told = is_whole ? field[ATTRIBUTES] : NULL, *first_byte_ns = count == HTTP_FIELDS ? field[FIRST_BYTE] : NULL;
    PyObject *path = field[PATH], *status = field[STATUS], *method = field[METHOD];
    if (!is_short_ascii(path, PATH_CHARACTERS) || !PyUnicode_CheckExact(method) || !PyLong_CheckExact(field[BODY_BYTES])
        || PySet_Contains(decoder->methods, method) != 1 || (is_whole && !decoder->is_encoded && !PyDict_CheckExact(told))
        || (first_byte_ns != NULL && !PyLong_CheckExact(first_byte_ns))) {
        return NULL;
    }
    PyObject *code = code_of(decoder, status);
    if (code == NULL) {
        return NULL;
    }
    int is_huge;
    long number = PyLong_AsLongAndOverflow(code, &is_huge);
    number = is_huge > 0 ? LONG_MAX : number;
    PyObject *outcome = is_whole ? field[OUTCOME] : Py_None;
    if (outcome == Py_None) {
        outcome = number >= 500 ? decoder->error : decoder->ok;
    }
    int is_out_of_range;
    long long time_ns = PyLong_CheckExact(field[TIME]) ? PyLong_AsLongLongAndOverflow(field[TIME], &is_out_of_range) : -1;
    PyObject *id = time_ns < 0 ? NULL : record_id(time_ns, field[TAIL]);
    int is_sent = is_sent_with_body(method, number);
    PyObject *attributes = id == NULL             ? NULL
                           : decoder->is_encoded ? attributes_text(decoder, told, first_byte_ns, field[BODY_BYTES], is_sent)
                                                 : attributes_of(decoder, told, first_byte_ns, field[BODY_BYTES], is_sent);
    if (attributes == NULL) {
        Py_XDECREF(id);
        return NULL;
    }
    PyObject *fields[RECORD_FIELDS] = {
        id, Py_NewRef(field[REQUEST_ID]), Py_NewRef(field[TIME]), Py_NewRef(field[DURATION]), Py_NewRef(method), Py_NewRef(path),
        Py_NewRef(is_whole ? field[ROUTE] : Py_None), Py_NewRef(code), Py_NewRef(outcome),
        Py_NewRef(is_whole ? field[ERROR] : Py_None), Py_NewRef(field[VARIABLES]), attributes,
        Py_NewRef(PyTuple_GET_ITEM(decoder->resource, 0)), Py_NewRef(PyTuple_GET_ITEM(decoder->resource, 1)),
        Py_NewRef(PyTuple_GET_ITEM(decoder->resource, 2)),
    };
    return record_with(decoder, fields);
}

/* Takes the arguments that `records_of` and `encoded_records_of` have; 0 with an exception. */
static int
decoder_with(PyObject *args, PyTypeObject *kind, PyObject **source, RecordDecoder *decoder)
{
    if (!PyArg_ParseTuple(
            args, "O!O!O!O!O!UUUO", kind, source, &PyTuple_Type, &decoder->resource, &PyType_Type, &decoder->record_class,
            &PyDict_Type, &decoder->codes, &PyFrozenSet_Type, &decoder->methods, &decoder->body_size, &decoder->ok, &decoder->error,
            &decoder->in_python
        )) {
        return 0;
    }
    PyObject *names = PyObject_GetAttrString((PyObject *)decoder->record_class, "_fields");
    if (names == NULL) {
        return 0;
    }
    decoder->fields = PyTuple_Check(names) ? PyTuple_GET_SIZE(names) : 0;
    int is_known = decoder->fields >= RECORD_FIELDS;
    Py_DECREF(names);
    if (!is_known || PyTuple_GET_SIZE(decoder->resource) != 3 || !PyType_IsSubtype(decoder->record_class, &PyTuple_Type)) {
        PyErr_SetString(PyExc_TypeError, "a record is a tuple of at least 15 fields, and its resource one of three");
        return 0;
    }
    return 1;
}

/* Takes the reference to a record, or makes it in Python of what it is in if it is NULL; -1 with an exception. */
static int
append_record(PyObject *records, const RecordDecoder *decoder, PyObject *record, PyObject *made_of)
{
    if (record == NULL && made_of != NULL) {
        PyErr_Clear(); /* whatever it was, it comes up again, or not */
        PyObject *passed[2] = {made_of, decoder->resource};
        record = PyObject_Vectorcall(decoder->in_python, passed, 2, NULL);
    }
    if (record == NULL && !PyErr_Occurred()) {
        PyErr_SetString(PyExc_RuntimeError, "the rows were changed meanwhile");
    }
    int is_appended = record == NULL ? -1 : PyList_Append(records, record);
    Py_XDECREF(record);
    return is_appended;
}

static PyObject *
records_of(PyObject *Py_UNUSED(module), PyObject *args)
{
    RecordDecoder decoder = {.is_encoded = 0};
    PyObject *rows;
    if (!decoder_with(args, &PyList_Type, &rows, &decoder)) {
        return NULL;
    }
    Py_ssize_t count = PyList_GET_SIZE(rows);
    PyObject *records = PyList_New(0); /* whole at any time: the collector's lists of objects show it to others */
    for (Py_ssize_t i = 0; records != NULL && i < count; i++) {
        PyObject *row = i < PyList_GET_SIZE(rows) ? Py_NewRef(PyList_GET_ITEM(rows, i)) : NULL;
        int is_row = row != NULL && PyList_CheckExact(row);
        PyObject *record = is_row ? usual_record(&decoder, ((PyListObject *)row)->ob_item, PyList_GET_SIZE(row)) : NULL;
        if (append_record(records, &decoder, record, row) < 0) {
            Py_CLEAR(records);
        }
        Py_XDECREF(row);
    }
    return records;
}

#endif
