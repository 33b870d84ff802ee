/* RandomIds and CountedIds: the ids of requests and the second halves of records' ids, each made when it is needed.
 *
 * `chest/request/request_id.py` and `chest/record/record_id.py` are the same in Python, for an installation without a compiler.
 */
#ifndef CHEST_IDS_H
#define CHEST_IDS_H

#include <Python.h>

#include <dlfcn.h>
#include <sys/types.h>

#include "record/line.h"

#define RANDOM_BYTES 256 /* as many as getrandom(2) gives whole, whatever signal comes: 16 ids */
#define UUID_BYTES 16
#define UUID_CHARACTERS 36
#define TAIL_CHARACTERS 16
#define STEP 251 /* `record_id.STEP` */

typedef struct {
    PyObject_HEAD
    int left; /* bytes, at the end */
    unsigned char bytes[RANDOM_BYTES];
} RandomIds;

typedef struct {
    PyObject_HEAD
    unsigned int process;
    unsigned long long next; /* what the next tail counts */
} CountedIds;

static PyTypeObject *random_ids_type, *counted_ids_type;

typedef ssize_t (*GetRandom)(void *, size_t, unsigned);

/* Looked up while it runs, so that a wheel also loads where the C library has none (glibc before 2.25): then Python makes ids. */
static GetRandom
found_getrandom(void)
{
    GetRandom function = NULL;
    *(void **)&function = dlsym(RTLD_DEFAULT, "getrandom");
    return function;
}

/* A UUID of version 4 as text; NULL, perhaps without an exception, if the system gives no random bytes. */
static PyObject *
random_id(RandomIds *self)
{
    if (self->left < UUID_BYTES) {
        static GetRandom get_random = NULL;
        if (get_random == NULL && (get_random = found_getrandom()) == NULL) {
            return NULL;
        }
        if (get_random(self->bytes, RANDOM_BYTES, 0) != RANDOM_BYTES) {
            return NULL;
        }
        self->left = RANDOM_BYTES;
    }
    unsigned char *bytes = self->bytes + RANDOM_BYTES - self->left;
    PyObject *id = PyUnicode_New(UUID_CHARACTERS, 127);
    if (id == NULL) {
        return NULL;
    }
    self->left -= UUID_BYTES;
    bytes[6] = (unsigned char)((bytes[6] & 0x0f) | 0x40);
    bytes[8] = (unsigned char)((bytes[8] & 0x3f) | 0x80);
    char *at = PyUnicode_DATA(id);
    for (int i = 0; i < UUID_BYTES; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            *at++ = '-';
        }
        *at++ = hex_digits[bytes[i] >> 4];
        *at++ = hex_digits[bytes[i] & 15];
    }
    return id;
}

/* The process part and a count, in hex; NULL with an exception if there is no memory. */
static PyObject *
counted_tail(CountedIds *self)
{
    PyObject *tail = PyUnicode_New(TAIL_CHARACTERS, 127);
    if (tail == NULL) {
        return NULL;
    }
    unsigned long long value = (unsigned long long)self->process << 32 | self->next++ % (0x100000000ULL / STEP) * STEP;
    char *text = PyUnicode_DATA(tail);
    for (int i = TAIL_CHARACTERS - 1; i >= 0; i--, value >>= 4) {
        text[i] = hex_digits[value & 15];
    }
    return tail;
}

/* A record's id: the time in 16 hex digits, and the tail; NULL, perhaps without an exception, if the tail is invalid. */
static PyObject *
record_id(long long time_ns, PyObject *tail)
{
    if (!is_short_ascii(tail, TAIL_CHARACTERS) || PyUnicode_GET_LENGTH(tail) != TAIL_CHARACTERS) {
        return NULL;
    }
    PyObject *id = PyUnicode_New(2 * TAIL_CHARACTERS, 127);
    if (id != NULL) {
        char *text = PyUnicode_DATA(id);
        for (int i = TAIL_CHARACTERS - 1; i >= 0; i--, time_ns >>= 4) {
            text[i] = hex_digits[time_ns & 15];
        }
        memcpy(text + TAIL_CHARACTERS, PyUnicode_DATA(tail), TAIL_CHARACTERS);
    }
    return id;
}

static PyObject *
random_ids_forget(RandomIds *self, PyObject *Py_UNUSED(ignored))
{
    self->left = 0;
    memset(self->bytes, 0, sizeof(self->bytes));
    Py_RETURN_NONE;
}

static PyObject *
counted_ids_begin(CountedIds *self, PyObject *args)
{
    unsigned long long process, begin;
    if (!PyArg_ParseTuple(args, "KK", &process, &begin)) {
        return NULL;
    }
    if (process > 0xffffffffULL) {
        PyErr_SetString(PyExc_ValueError, "the process part has 32 bits");
        return NULL;
    }
    self->process = (unsigned int)process;
    self->next = begin;
    Py_RETURN_NONE;
}

static PyObject *
counted_ids_take(CountedIds *self, PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromUnsignedLongLong(self->next++);
}

static void
ids_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef random_ids_methods[] = {
    {"_forget", (PyCFunction)random_ids_forget, METH_NOARGS, PyDoc_STR("Use no random byte that was there before.")},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef counted_ids_methods[] = {
    {"_begin", (PyCFunction)counted_ids_begin, METH_VARARGS, PyDoc_STR("Begin anew: the process part, and a count.")},
    {"_take", (PyCFunction)counted_ids_take, METH_NOARGS, PyDoc_STR("A count that no other tail has.")},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot random_ids_slots[] = {
    {Py_tp_doc, PyDoc_STR("Ids of requests; see chest.request.request_id.")},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_dealloc, ids_dealloc},
    {Py_tp_methods, random_ids_methods},
    {0, NULL},
};

static PyType_Slot counted_ids_slots[] = {
    {Py_tp_doc, PyDoc_STR("Second halves of records' ids; see chest.record.record_id.")},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_dealloc, ids_dealloc},
    {Py_tp_methods, counted_ids_methods},
    {0, NULL},
};

static PyType_Spec random_ids_spec = {
    .name = "chest.native._native.RandomIds",
    .basicsize = sizeof(RandomIds),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = random_ids_slots,
};

static PyType_Spec counted_ids_spec = {
    .name = "chest.native._native.CountedIds",
    .basicsize = sizeof(CountedIds),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = counted_ids_slots,
};

#endif
