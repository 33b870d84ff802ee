/* Tally: how many requests ended how, counted in mapped memory. See chest/ring/tally/table.py, which has the layout. */
#ifndef CHEST_TALLY_H
#define CHEST_TALLY_H

#include <Python.h>

#include <stdatomic.h>
#include <stdint.h>
#include <structmember.h>
#include <string.h>

#include "system/collected.h"

#define TALLY_SLOTS 16384
#define TALLY_SLOT_BYTES 512
#define TALLY_SUM 128
#define TALLY_EXEMPLAR 136
#define TALLY_EXEMPLAR_ID 168
#define TALLY_LABELS 256
#define TALLY_EXEMPLAR_SECONDS 15
#define TALLY_BUCKETS 15
#define TALLY_TEXT(number) TALLY_TEXT_OF(number)
#define TALLY_TEXT_OF(number) #number
#define TALLY_LAYOUT                                                                                                        \
    TALLY_TEXT(TALLY_SLOTS) " " TALLY_TEXT(TALLY_SLOT_BYTES) " " TALLY_TEXT(TALLY_SUM) " " TALLY_TEXT(TALLY_EXEMPLAR) " "     \
    TALLY_TEXT(TALLY_EXEMPLAR_ID) " " TALLY_TEXT(TALLY_LABELS) " " TALLY_TEXT(TALLY_EXEMPLAR_SECONDS)

static const long long tally_bounds_ms[TALLY_BUCKETS - 1] = {5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000};

typedef struct {
    PyObject_HEAD
    PyObject *known;  /* a dict: the place of each key, what requests say that have the same labels */
    PyObject *memory; /* the mapping; looked into anew each time, so that it can be another */
} Tally;

typedef struct {
    uint64_t version; /* odd while it is written */
    uint64_t time_ns;
    uint64_t duration_ns;
    uint64_t length;
    char id[TALLY_LABELS - TALLY_EXEMPLAR_ID];
} Exemplar;

static PyTypeObject *tally_type;

/* The slowest request of the last seconds: another is seldom written. */
static void
tally_keep_exemplar(Exemplar *exemplar, long long time_ns, long long duration_ns, PyObject *request_id)
{
    const long long age_ns = (long long)((uint64_t)time_ns - exemplar->time_ns); /* of a file, which may hold anything */
    const uint64_t length = PyUnicode_CheckExact(request_id) ? (uint64_t)PyUnicode_GET_LENGTH(request_id) : 0;
    if ((age_ns <= TALLY_EXEMPLAR_SECONDS * 1000000000LL && duration_ns <= (long long)exemplar->duration_ns)
        || !PyUnicode_CheckExact(request_id) || !PyUnicode_IS_COMPACT_ASCII(request_id)
        || length > sizeof(exemplar->id)) {
        return;
    }
    exemplar->version |= 1;
    atomic_thread_fence(memory_order_release);
    exemplar->time_ns = (uint64_t)time_ns;
    exemplar->duration_ns = (uint64_t)duration_ns;
    exemplar->length = length;
    memcpy(exemplar->id, PyUnicode_DATA(request_id), length);
    atomic_thread_fence(memory_order_release);
    exemplar->version += 1;
}

/* -1 with an exception if the place does not exist. */
static int
tally_count(Tally *self, Py_ssize_t place, long long time_ns, long long duration_ns, PyObject *request_id)
{
    Py_buffer view;
    if (self->memory == NULL || PyObject_GetBuffer(self->memory, &view, PyBUF_WRITABLE) < 0) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_ValueError, "the tally has no memory");
        }
        return -1;
    }
    int is_inside = place >= TALLY_SLOTS && place % 8 == 0 && place <= view.len - TALLY_SLOT_BYTES;
    if (is_inside) {
        char *slot = (char *)view.buf + place;
        uint64_t *buckets = (uint64_t *)(slot + 8), *sum = (uint64_t *)(slot + TALLY_SUM);
        int bucket = 0;
        while (bucket < TALLY_BUCKETS - 1 && duration_ns > tally_bounds_ms[bucket] * 1000000LL) {
            bucket++;
        }
        buckets[bucket] += 1;
        *sum += (uint64_t)(duration_ns < 0 ? 0 : duration_ns);
        tally_keep_exemplar((Exemplar *)(slot + TALLY_EXEMPLAR), time_ns, duration_ns, request_id);
    }
    else {
        PyErr_SetString(PyExc_ValueError, "the place lies outside of the tally");
    }
    PyBuffer_Release(&view);
    return is_inside ? 0 : -1;
}

static PyObject *
tally_count_method(Tally *self, PyObject *const *args, Py_ssize_t count)
{
    if (count != 4) {
        PyErr_SetString(PyExc_TypeError, "count takes the place, the time, the duration and the request's id");
        return NULL;
    }
    Py_ssize_t place = PyLong_AsSsize_t(args[0]);
    long long time_ns = PyLong_AsLongLong(args[1]), duration_ns = PyLong_AsLongLong(args[2]);
    if (PyErr_Occurred() || tally_count(self, place, time_ns, duration_ns, args[3]) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
tally_new(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    Tally *self = (Tally *)type->tp_alloc(type, 0);
    if (self != NULL && (self->known = PyDict_New()) == NULL) {
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

#define EACH_OF_TALLY(do) do(known) do(memory)

COLLECTED(tally, Tally, EACH_OF_TALLY)

static PyMethodDef tally_methods[] = {
    {"count", (PyCFunction)(void (*)(void))tally_count_method, METH_FASTCALL,
     PyDoc_STR("Count a request that ended at this time, at the place of its labels.")},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef tally_members[] = {
    {"known", T_OBJECT_EX, offsetof(Tally, known), READONLY, PyDoc_STR("The place of what a request says, by that.")},
    {"memory", T_OBJECT, offsetof(Tally, memory), 0, PyDoc_STR("The mapping that it counts in.")},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot tally_slots[] = {
    {Py_tp_doc, PyDoc_STR("How many requests ended how; see chest.ring.tally.")},
    {Py_tp_new, tally_new},
    {Py_tp_dealloc, tally_dealloc},
    {Py_tp_traverse, tally_traverse},
    {Py_tp_clear, tally_clear},
    {Py_tp_methods, tally_methods},
    {Py_tp_members, tally_members},
    {0, NULL},
};

static PyType_Spec tally_spec = {
    .name = "chest.native._native.Tally",
    .basicsize = sizeof(Tally),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = tally_slots,
};

#endif
