/* Dictionaries, lists and tuples of plain values, as JSON. What is odd in one has Python look at the whole of it. */
#ifndef CHEST_CONTAINER_H
#define CHEST_CONTAINER_H

#include <Python.h>

#include "record/line.h"

#define DEPTH 8            /* `Limits.depth` */
#define MOST_ENTRIES 200   /* `Limits.items_per_container`, here for the whole of one value */

typedef struct {
    PyObject *good_names;
    PyObject *plain_keys;
    int depth;
    int entries;
} Container;

static int put_plain(Line *line, PyObject *value, Container *container);

static int
put_entry(Line *line, PyObject *name, PyObject *value, char separator, Container *container)
{
    if (++container->entries > MOST_ENTRIES || !put_bytes(line, &separator, 1)) {
        return 0;
    }
    if (name != NULL
        && !(PyUnicode_CheckExact(name) && PySet_Contains(container->good_names, name) == 1 && put_text(line, name)
             && put_literal(line, ":"))) {
        return 0;
    }
    return put_plain(line, value, container);
}

static int
put_plain_dict(Line *line, PyObject *dict, Container *container)
{
    Py_ssize_t position = 0;
    PyObject *name, *value;
    char separator = '{';
    while (PyDict_Next(dict, &position, &name, &value)) {
        if (!put_entry(line, name, value, separator, container)) {
            return 0;
        }
        separator = ',';
    }
    return (separator == ',' || put_literal(line, "{")) && put_literal(line, "}");
}

static int
put_plain_list(Line *line, PyObject *list, Container *container)
{
    char separator = '[';
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(list); i++) {
        if (!put_entry(line, NULL, PySequence_Fast_GET_ITEM(list, i), separator, container)) {
            return 0;
        }
        separator = ',';
    }
    return (separator == ',' || put_literal(line, "[")) && put_literal(line, "]");
}

/* Nothing in here runs Python code, so that no container changes meanwhile. */
static int
put_plain(Line *line, PyObject *value, Container *container)
{
    int is_dict = PyDict_CheckExact(value);
    if (!is_dict && !PyList_CheckExact(value) && !PyTuple_CheckExact(value)) {
        return put_plain_value(line, value, container->plain_keys);
    }
    if (container->depth == DEPTH) {
        return 0;
    }
    container->depth++;
    int is_put = is_dict ? put_plain_dict(line, value, container) : put_plain_list(line, value, container);
    container->depth--;
    return is_put;
}

#endif
