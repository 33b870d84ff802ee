/* Names: those that the last request's variables had, as they stand in a line.
 *
 * The requests of an application mostly record the same variables in the same order, under names that are constants of its
 * code: told by their identity, they need neither be looked up among the good ones nor quoted.
 */
#ifndef CHEST_NAMES_H
#define CHEST_NAMES_H

#include <Python.h>

#include "record/line.h"

#define NAMES 12
#define NAME_BYTES 52 /* with it, a name takes a line of the processor's cache */

typedef struct {
    PyObject *name; /* held, so that its identity is no other's */
    int size;
    char text[NAME_BYTES]; /* "name": */
} Name;

typedef struct {
    Name names[NAMES];
} Names;

static void
names_clear(Names *names)
{
    for (int i = 0; i < NAMES; i++) {
        Py_CLEAR(names->names[i].name);
    }
}

/* The name and its colon, if it is one of the good ones; that one is known by its place from now on. */
static int
put_name(Line *line, Names *names, Py_ssize_t place, PyObject *name, PyObject *good_names)
{
    Name *last = place < NAMES ? &names->names[place] : NULL;
    if (last != NULL && last->name == name) {
        return put_bytes(line, last->text, last->size);
    }
    const char *begin = line->at;
    if (!PyUnicode_CheckExact(name) || PySet_Contains(good_names, name) != 1 || !put_text(line, name)
        || !put_literal(line, ":")) {
        return 0;
    }
    if (last != NULL && line->at - begin <= NAME_BYTES) {
        last->size = (int)(line->at - begin);
        memcpy(last->text, begin, (size_t)last->size);
        Py_XSETREF(last->name, Py_NewRef(name));
    }
    return 1;
}

#endif
