/* COLLECTED: what Python's collector calls of a type, and its end, from one list of the references that its objects hold. */
#ifndef CHEST_COLLECTED_H
#define CHEST_COLLECTED_H

#include <Python.h>

#define VISIT_FIELD(field) Py_VISIT(self->field);
#define CLEAR_FIELD(field) Py_CLEAR(self->field);
#define HOLD_FIELD(field) Py_XINCREF(self->field);

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
