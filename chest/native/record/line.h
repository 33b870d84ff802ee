/* Line: one line of JSON, written into memory that is there already.
 *
 * What a line cannot hold (too long, no plain value) is no error: the caller is told, and has Python make the record, which
 * knows every case. Nothing in here runs Python code, raises, or gives up the interpreter's lock.
 */
#ifndef CHEST_LINE_H
#define CHEST_LINE_H

#include <Python.h>

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "record/secrets.h"

/* A line that is no longer holds no value, no name and no path that would have to be cut: `limits.LINE_BYTES`. */
#define LINE_BYTES 4096
/* Longer texts are not looked through twice. */
#define MOST_CHARACTERS 4096
#define CHECK 65521 /* `row.CHECK` */

typedef struct {
    char *begin;
    char *at;
    char *end;
} Line;

static inline void
line_begin(Line *line, char *memory, Py_ssize_t size)
{
    line->begin = line->at = memory;
    line->end = memory + size;
}

static inline Py_ssize_t
line_length(const Line *line)
{
    return line->at - line->begin;
}

/* Each of these returns 1, or 0 if it does not fit or is not plain. */

static inline int
put_bytes(Line *line, const char *bytes, Py_ssize_t count)
{
    if (line->end - line->at < count) {
        return 0;
    }
    memcpy(line->at, bytes, (size_t)count);
    line->at += count;
    return 1;
}

#define put_literal(line, literal) put_bytes(line, literal, (Py_ssize_t)sizeof(literal) - 1)

static inline int
put_digits(Line *line, unsigned long long number, int is_negative)
{
    char digits[24];
    char *first = digits + sizeof(digits);
    do {
        *--first = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    if (is_negative) {
        *--first = '-';
    }
    return put_bytes(line, first, digits + sizeof(digits) - first);
}

static inline int
put_number(Line *line, long long number)
{
    return put_digits(line, number < 0 ? 0ULL - (unsigned long long)number : (unsigned long long)number, number < 0);
}

static const char hex_digits[] = "0123456789abcdef";

static int
put_escaped(Line *line, unsigned char byte)
{
    char escape[6] = {'\\', 'u', '0', '0', 0, 0};
    switch (byte) {
    case '"':
        return put_literal(line, "\\\"");
    case '\\':
        return put_literal(line, "\\\\");
    case '\n':
        return put_literal(line, "\\n");
    case '\r':
        return put_literal(line, "\\r");
    case '\t':
        return put_literal(line, "\\t");
    default:
        escape[4] = hex_digits[byte >> 4];
        escape[5] = hex_digits[byte & 15];
        return put_bytes(line, escape, 6);
    }
}

/* Whether none of the bytes has to be escaped; eight of them at a time, which finds some that need not be. */
static inline int
needs_no_escape(const char *text, Py_ssize_t size)
{
    const uint64_t ones = 0x0101010101010101, tops = ones * 0x80;
    uint64_t found = 0;
    while (size > 0) {
        uint64_t bytes = ones * ' ';
        memcpy(&bytes, text, size < 8 ? (size_t)size : 8);
        uint64_t quotes = bytes ^ (ones * '"'), slashes = bytes ^ (ones * '\\');
        found |= ((bytes - ones * ' ') | (quotes - ones) | (slashes - ones)) & ~bytes & tops;
        text += 8;
        size -= 8;
    }
    return !found;
}

/* UTF-8, between quotes. */
static int
put_quoted(Line *line, const char *text, Py_ssize_t size)
{
    if (line->end - line->at < size + 2) {
        return 0;
    }
    *line->at++ = '"';
    if (needs_no_escape(text, size)) {
        memcpy(line->at, text, (size_t)size);
        line->at += size;
        return put_literal(line, "\"");
    }
    const char *last = text + size, *from = text;
    for (; text < last; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte < 0x20 || byte == '"' || byte == '\\') {
            if (!put_bytes(line, from, text - from) || !put_escaped(line, byte)) {
                return 0;
            }
            from = text + 1;
        }
    }
    return put_bytes(line, from, last - from) && put_literal(line, "\"");
}

/* Whether a text of more than ASCII holds only what can be printed (a letter, then, or a mark, but no lone surrogate). */
static int
is_printable(PyObject *text)
{
    int kind = PyUnicode_KIND(text);
    const void *data = PyUnicode_DATA(text);
    Py_ssize_t length = PyUnicode_GET_LENGTH(text);
    for (Py_ssize_t i = 0; i < length; i++) {
        if (!Py_UNICODE_ISPRINTABLE(PyUnicode_READ(kind, data, i))) {
            return 0;
        }
    }
    return 1;
}

/* A text of which is known that it may be kept, or that has been looked at. */
static int
put_text(Line *line, PyObject *text)
{
    Py_ssize_t size;
    if (text == NULL || !PyUnicode_CheckExact(text)) {
        return 0;
    }
    const char *utf8 = utf8_of(text, &size);
    return utf8 != NULL && put_quoted(line, utf8, size);
}

/* A text as the application gave it: `Sanitizer.is_plain` says which are plain. */
static int
put_plain_text(Line *line, PyObject *text, PyObject *plain_keys)
{
    Py_ssize_t size;
    if (PyUnicode_GET_LENGTH(text) > MOST_CHARACTERS) {
        return 0;
    }
    if (!PyUnicode_IS_COMPACT_ASCII(text) && !is_printable(text)) {
        return 0;
    }
    const char *utf8 = utf8_of(text, &size);
    if (utf8 == NULL || memchr(utf8, '\0', (size_t)size) != NULL) {
        return 0;
    }
    return !may_hold_secret(utf8, size, plain_keys) && put_quoted(line, utf8, size);
}

/* A number with no more than three decimals, such as milliseconds are, without the arithmetic that others need.
 *
 * Of decimals with up to 15 digits no two are the same double, so that the one found here is the shortest there is: `repr`'s.
 */
static int
put_short_float(Line *line, double number)
{
    double thousands = number * 1000;
    if (!(fabs(number) >= 0.001 && fabs(number) < 1e11) || thousands != (double)(long long)thousands || thousands / 1000 != number) {
        return 0;
    }
    unsigned long long left = (unsigned long long)fabs(thousands);
    char decimals[4] = {'.', (char)('0' + left / 100 % 10), (char)('0' + left / 10 % 10), (char)('0' + left % 10)};
    int count = decimals[3] != '0' ? 4 : decimals[2] != '0' ? 3 : 2;
    return put_digits(line, left / 1000, number < 0) && put_bytes(line, decimals, count);
}

static int
put_float(Line *line, double number)
{
    if (put_short_float(line, number)) {
        return 1;
    }
    if (!isfinite(number)) {
        return 0;
    }
    char *digits = PyOS_double_to_string(number, 'r', 0, Py_DTSF_ADD_DOT_0, NULL);
    if (digits == NULL) {
        PyErr_Clear();
        return 0;
    }
    int is_put = put_bytes(line, digits, (Py_ssize_t)strlen(digits));
    PyMem_Free(digits);
    return is_put;
}

static int
put_plain_value(Line *line, PyObject *value, PyObject *plain_keys)
{
    if (PyUnicode_CheckExact(value)) {
        return put_plain_text(line, value, plain_keys);
    }
    if (PyLong_CheckExact(value)) {
        int is_out_of_range;
        long long number = PyLong_AsLongLongAndOverflow(value, &is_out_of_range);
        int may_be_card = number >= SMALLEST_CARD && number < LARGEST_CARD;
        return !is_out_of_range && number != LLONG_MIN && !may_be_card && put_number(line, number);
    }
    if (PyFloat_CheckExact(value)) {
        return put_float(line, PyFloat_AS_DOUBLE(value));
    }
    if (value == Py_None) {
        return put_literal(line, "null");
    }
    if (value == Py_True) {
        return put_literal(line, "true");
    }
    return value == Py_False && put_literal(line, "false");
}

/* What Python encoded. */
static int
put_json(Line *line, PyObject *encoded)
{
    return PyBytes_CheckExact(encoded) && put_bytes(line, PyBytes_AS_STRING(encoded), PyBytes_GET_SIZE(encoded));
}

/* Whether a text can be printed, is all ASCII and no longer than this. */
static int
is_short_ascii(PyObject *text, Py_ssize_t longest)
{
    if (!PyUnicode_CheckExact(text) || !PyUnicode_IS_COMPACT_ASCII(text) || PyUnicode_GET_LENGTH(text) > longest) {
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

#endif
