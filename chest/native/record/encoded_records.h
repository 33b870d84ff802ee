/* encoded_records_of: the records of whole lines, their variables and attributes as the JSON text that stands in the line.
 *
 * A store that keeps JSON as text needs none of its values: they are looked at, so that no damaged text is stored, and no object is
 * made of them. Most of what a record took of the interpreter's lock on its way into SQLite went into such objects, and into
 * encoding them again. Any other line is handed to Python.
 */
#ifndef CHEST_ENCODED_RECORDS_H
#define CHEST_ENCODED_RECORDS_H

#include <Python.h>

#include "record/records.h"

#define MOST_NESTED 32
#define NUMBER_DIGITS 19 /* of a positive number, as a time has them; they fit into 64 bits */

/* Each of these returns where a value ends that begins here; NULL if it is invalid, or the encoder might write it in another way,
 * such as a number with an exponent. None goes beyond a newline or a NUL byte. */

static const char *
end_of_text(const char *at)
{
    for (at++; *at != '"'; at++) {
        if ((unsigned char)*at < 0x20 || (*at == '\\' && memchr("\"\\nrt", *++at, 5) == NULL)) {
            return NULL;
        }
    }
    return at + 1;
}

static const char *
end_of_digits(const char *at)
{
    while (*at >= '0' && *at <= '9') {
        at++;
    }
    return at;
}

static const char *
end_of_number(const char *begin)
{
    const char *first = begin + (*begin == '-'), *at = end_of_digits(first);
    if (at == first || at - first > NUMBER_DIGITS - (*begin == '-') || (*first == '0' && at - first > 1)) {
        return NULL;
    }
    if (*at != '.') {
        return at;
    }
    first = at + 1;
    at = end_of_digits(first);
    return at == first ? NULL : at;
}

static const char *end_of_value(const char *at, int depth);

static const char *
end_of_container(const char *at, int depth)
{
    int is_object = *at == '{';
    char last = is_object ? '}' : ']';
    if (depth == MOST_NESTED) {
        return NULL;
    }
    if (at[1] == last) {
        return at + 2;
    }
    do {
        at++;
        if (is_object && (*at != '"' || (at = end_of_text(at)) == NULL || *at++ != ':')) {
            return NULL;
        }
        at = end_of_value(at, depth + 1);
    } while (at != NULL && *at == ',');
    return at != NULL && *at == last ? at + 1 : NULL;
}

static const char *
end_of_value(const char *at, int depth)
{
    switch (*at) {
    case '"':
        return end_of_text(at);
    case '{':
    case '[':
        return end_of_container(at, depth);
    case 't':
        return strncmp(at, "true", 4) == 0 ? at + 4 : NULL;
    case 'f':
        return strncmp(at, "false", 5) == 0 ? at + 5 : NULL;
    case 'n':
        return strncmp(at, "null", 4) == 0 ? at + 4 : NULL;
    default:
        return end_of_number(at);
    }
}

/* A value of a row: text, a whole number, None, or the text of an object; NULL, perhaps without an exception, if it is another. */
static PyObject *
value_between(const char *at, const char *end)
{
    if (*at == '{') {
        return PyUnicode_DecodeUTF8(at, end - at, NULL);
    }
    if (*at == '"') {
        int is_escaped = memchr(at, '\\', (size_t)(end - at)) != NULL;
        return is_escaped ? NULL : PyUnicode_DecodeUTF8(at + 1, end - at - 2, NULL);
    }
    if (*at == 'n') {
        return Py_NewRef(Py_None);
    }
    int is_negative = *at == '-';
    unsigned long long number = 0;
    for (at += is_negative; at < end; at++) {
        if (*at < '0' || *at > '9') {
            return NULL;
        }
        number = 10 * number + (unsigned char)(*at - '0');
    }
    return is_negative ? PyLong_FromLongLong(-(long long)number) : PyLong_FromUnsignedLongLong(number);
}

/* The values of the line before: most lines have the method, the path and the status of others. */
typedef struct {
    const char *text[ALL_FIELDS];
    Py_ssize_t size[ALL_FIELDS];
    PyObject *value[ALL_FIELDS];
} ValuesBefore;

/* `value_between`, or the value before if its text is the same; kept for the next line. */
static PyObject *
value_after(ValuesBefore *before, Py_ssize_t place, const char *at, const char *end)
{
    if (before->value[place] == NULL || before->size[place] != end - at || memcmp(before->text[place], at, (size_t)(end - at)) != 0) {
        Py_XSETREF(before->value[place], value_between(at, end));
        before->text[place] = at;
        before->size[place] = end - at;
    }
    return before->value[place];
}

/* NULL, perhaps without an exception, if Python has to make it. */
static PyObject *
encoded_record(const RecordDecoder *decoder, ValuesBefore *before, const char *at)
{
    PyObject *field[ALL_FIELDS];
    Py_ssize_t count = 0;
    int is_valid = *at == '[';
    while (is_valid && count < ALL_FIELDS && *at != ']') {
        at++;
        int is_object = *at == '{';
        const char *end = end_of_value(at, 0);
        is_valid = end != NULL && (*end == ',' || *end == ']') && is_object == (count == VARIABLES || count == ATTRIBUTES)
                   && (field[count] = value_after(before, count, at, end)) != NULL;
        if (is_valid) {
            count++;
            at = end;
        }
    }
    return is_valid && at[0] == ']' && at[1] == '\n' ? usual_record(decoder, field, count) : NULL;
}

static PyObject *
encoded_records_of(PyObject *Py_UNUSED(module), PyObject *args)
{
    RecordDecoder decoder = {.is_encoded = 1};
    PyObject *lines;
    if (!decoder_with(args, &PyBytes_Type, &lines, &decoder)) {
        return NULL;
    }
    ValuesBefore before = {.value = {NULL}};
    const char *at = PyBytes_AS_STRING(lines), *end = at + PyBytes_GET_SIZE(lines);
    PyObject *records = PyList_New(0);
    while (records != NULL && at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at)), *next = newline == NULL ? end : newline + 1;
        PyObject *record = encoded_record(&decoder, &before, at);
        PyObject *line = record == NULL ? PyBytes_FromStringAndSize(at, next - at) : NULL;
        if (append_record(records, &decoder, record, line) < 0) {
            Py_CLEAR(records);
        }
        Py_XDECREF(line);
        at = next;
    }
    for (Py_ssize_t i = 0; i < ALL_FIELDS; i++) {
        Py_XDECREF(before.value[i]);
    }
    return records;
}

#endif
