/* COLLECTED: what Python's collector calls of a type, and its end, from one list of the references that its objects hold; and what else
 * such a list is good for. */
#ifndef CHEST_COLLECTED_H
#define CHEST_COLLECTED_H

#include <Python.h>

#define VISIT_FIELD(field) Py_VISIT(self->field);
#define CLEAR_FIELD(field) Py_CLEAR(self->field);
#define HOLD_FIELD(field) Py_XINCREF(self->field);
#define DECLARE_FIELD(field) PyObject *field;

/* Of a function that takes its parts by name, in the dict `named`: it returns -1 with an exception if one is missing. */
#define TAKE_FIELD(field)                                                                                                   \
    if ((self->field = Py_XNewRef(PyDict_GetItemString(named, #field))) == NULL) {                                          \
        PyErr_SetString(PyExc_TypeError, #field " is missing");                                                             \
        return -1;                                                                                                          \
    }

#define TRAVERSED(name, Type, EACH)                                                                                         \
    static int name##_traverse(Type *self, visitproc visit, void *arg)                                                      \
    {                                                                                                                       \
        Py_VISIT(Py_TYPE(self));                                                                                            \
        EACH(VISIT_FIELD)                                                                                                   \
        return 0;                                                                                                           \
    }

/* Of a type that has written its own `name##_clear`. */
#define DEALLOCATED(name, Type)                                                                                             \
    static void name##_dealloc(Type *self)                                                                                  \
    {                                                                                                                       \
        PyTypeObject *type = Py_TYPE(self);                                                                                 \
        PyObject_GC_UnTrack(self);                                                                                          \
        (void)name##_clear(self);                                                                                           \
        type->tp_free((PyObject *)self);                                                                                    \
        Py_DECREF(type);                                                                                                    \
    }

/* `EACH(do)` says `do(field)` for each field that holds a reference, or NULL. */
#define COLLECTED(name, Type, EACH)                                                                                         \
    TRAVERSED(name, Type, EACH)                                                                                             \
    static int name##_clear(Type *self)                                                                                     \
    {                                                                                                                       \
        EACH(CLEAR_FIELD)                                                                                                   \
        return 0;                                                                                                           \
    }                                                                                                                       \
    DEALLOCATED(name, Type)

#endif
