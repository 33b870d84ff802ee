/* may_hold_secret: whether a text has to be looked through for secrets: `chest.record.secret_text`. */
#ifndef CHEST_SECRETS_H
#define CHEST_SECRETS_H

#include <Python.h>

#include <string.h>

#define SMALLEST_CARD 10000000000000LL /* `secret_text.SMALLEST_CARD` */
#define LARGEST_CARD 10000000000000000LL /* `secret_text.LARGEST_CARD` */

/* The UTF-8 of an exact `str`; NULL, and no error set, for other types and lone surrogates. */
static const char *
utf8_of(PyObject *text, Py_ssize_t *size)
{
    if (PyUnicode_IS_COMPACT_ASCII(text)) {
        *size = PyUnicode_GET_LENGTH(text);
        return (const char *)PyUnicode_DATA(text);
    }
    const char *utf8 = PyUnicode_AsUTF8AndSize(text, size);
    if (utf8 == NULL) {
        PyErr_Clear();
    }
    return utf8;
}

static int
ends_as(const char *end, const char *word, int length)
{
    for (int i = 1; i <= length; i++) {
        if (Py_TOLOWER((unsigned char)end[-i]) != word[length - i]) {
            return 0;
        }
    }
    return 1;
}

static int
is_word(char byte)
{
    return Py_ISALNUM((unsigned char)byte) || byte == '_';
}

/* Of the bytes that are letters, the one with which a secret may begin is "e"; all others are looked at. */
static int
begins_secret(const char *text, const char *at, const char *end)
{
    Py_ssize_t left = end - at, before = at - text;
    switch (*at) {
    case '=':
    case '@':
    case '%':
    case '$':
        return 1;
    case ':': /* a name before it, and no URL's path behind it */
        return before && (is_word(at[-1]) || memchr("\"']", at[-1], 3) != NULL)
               && !(left > 1 && (at[1] == '/' || (at[1] == '\\' && left > 2 && at[2] == '/')));
    case '"':
    case '\'': { /* a member of JSON */
        const char *next = at + 1;
        while (next < end && Py_ISSPACE((unsigned char)*next)) {
            next++;
        }
        return next < end && *next == ':' && next > at + 1;
    }
    case '(':
        at += left > 2 && at[1] == 'b';
        return left > 1 && (at[1] == '"' || at[1] == '\'');
    case '{': /* {SSHA}, {MD5}, {CRYPT} */
        return left > 1 && (at[1] == 'S' || at[1] == 'M' || at[1] == 'C');
    case '<':
        return left > 1 && at[1] == '/';
    case '\\':
        return left > 3 && memcmp(at, "\\u00", 4) == 0;
    case '&':
        return (left > 1 && at[1] == '#') || (left > 4 && memcmp(at, "&quot", 5) == 0);
    case '-':
        return left >= 10 && memcmp(at, "-----BEGIN", 10) == 0;
    case 'y': /* a JWT */
        return before && at[-1] == 'e' && left > 1 && (at[1] == 'J' || at[1] == 'A');
    case ' ':
    case '\t':
    case '\n':
    case '\v':
    case '\f':
    case '\r': /* after Bearer or Basic */
        return before >= 5 && (ends_as(at, "arer", 4) || ends_as(at, "asic", 4));
    default:
        return 0;
    }
}

/* 1 if what stands before this "=" is a key whose value is no secret: one of these texts. Base64 ends in a second "=". */
static int
is_plain_key(const char *text, const char *at, PyObject *plain_keys)
{
    const char *begin = at;
    while (begin > text && !Py_ISSPACE((unsigned char)begin[-1]) && strchr("=&;#?\"'<>(,{\\", begin[-1]) == NULL) {
        begin--;
    }
    if (plain_keys == NULL || begin == at) {
        return plain_keys != NULL && at > text && at[-1] == '=';
    }
    PyObject *key = PyUnicode_FromStringAndSize(begin, at - begin);
    int is_plain = key == NULL ? 0 : PySet_Contains(plain_keys, key);
    Py_XDECREF(key);
    if (is_plain < 1) {
        PyErr_Clear();
    }
    return is_plain == 1;
}

/* 1 if a text with "=" holds nothing of what is looked for only because of it: an escape, a quoted name, a ":" of no URL. */
static int
is_plain_query(const char *text, const char *end)
{
    for (const char *at = text; at < end; at++) {
        if (*at == '\\' || *at == ';' || *at == '"' || *at == '\'') {
            return 0;
        }
        if (*at == ':'
            && !(end - at > 2 && at[1] == '/' && at[2] == '/'
                 && ((at - text >= 4 && ends_as(at, "http", 4)) || (at - text >= 5 && ends_as(at, "https", 5))))) {
            return 0;
        }
    }
    return 1;
}

/* True if a secret may be in the text: whenever `secret_text.may_hold_secret` is, and seldom else; and with `plain_keys`, not if
 * all that may be one is the value of one of these keys: `Redaction.plain_keys`. */
static int
may_hold_secret(const char *text, Py_ssize_t size, PyObject *plain_keys)
{
    int has_key = 0, digits = 0, is_separated = 0; /* of a card number, whose digits a blank or a dash may separate */
    for (const char *at = text, *end = text + size; at < end; at++) {
        char byte = *at;
        if (byte >= '0' && byte <= '9') {
            is_separated = 0;
            if (++digits == 13) {
                return 1;
            }
            continue;
        }
        if (byte >= 'a' && byte != 'y' && byte < '{') {
            digits = 0;
            continue;
        }
        if ((byte == ' ' || byte == '-') && digits && !is_separated) {
            is_separated = 1;
        }
        else {
            digits = 0;
        }
        if (byte == '=' && is_plain_key(text, at, plain_keys)) {
            has_key = 1;
        }
        else if (begins_secret(text, at, end)) {
            return 1;
        }
    }
    return has_key && !is_plain_query(text, text + size);
}

static PyObject *
text_may_hold_secret(PyObject *Py_UNUSED(module), PyObject *text)
{
    Py_ssize_t size;
    if (!PyUnicode_Check(text)) {
        PyErr_SetString(PyExc_TypeError, "a text is looked at");
        return NULL;
    }
    const char *utf8 = utf8_of(text, &size);
    return PyBool_FromLong(utf8 == NULL || may_hold_secret(utf8, size, NULL));
}

#endif
