/* RandomIds and CountedIds: the ids of requests and the second halves of records' ids, each made when it is needed.
 *
 * `chest/request/request_id.py` and `chest/record_id.py` are the same in Python, where it pays to make many at once.
 */
#ifndef CHEST_IDS_H
#define CHEST_IDS_H

#include <Python.h>

#include <sys/random.h>

#include "line.h"

#define RANDOM_BYTES 256 /* as many as getrandom(2) gives whole, whatever signal comes: 16 ids */
#define UUID_BYTES 16
#define UUID_CHARACTERS 36
#define TAIL_CHARACTERS 16
#define TAILS_A_BLOCK 16 /* `record_id._TAILS_AT_ONCE` */
#define STEP 251         /* `record_id.STEP` */

typedef struct {
    PyObject_HEAD
    int left; /* bytes, at the end */
    unsigned char bytes[RANDOM_BYTES];
} RandomIds;

typedef struct {
    PyObject_HEAD
    unsigned int process;
    unsigned int left; /* tails of the block */
    unsigned long long next_block;
    unsigned long long number; /* of the tail that was made last */
} CountedIds;

static PyTypeObject *random_ids_type, *counted_ids_type;

/* A UUID of version 4 as text; NULL, perhaps without an exception, where the system gives no random bytes. */
static PyObject *
random_id(RandomIds *self)
{
    if (self->left < UUID_BYTES) {
        if (getrandom(self->bytes, RANDOM_BYTES, 0) != RANDOM_BYTES) {
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

static unsigned long long
take_block(CountedIds *self)
{
    return self->next_block++;
}

/* The process part and a count, in hex; NULL with an exception where there is no memory. */
static PyObject *
counted_tail(CountedIds *self)
{
    PyObject *tail = PyUnicode_New(TAIL_CHARACTERS, 127);
    if (tail == NULL) {
        return NULL;
    }
    if (self->left == 0) {
        const unsigned long long block = (unsigned long long)STEP * TAILS_A_BLOCK;
        self->number = take_block(self) % (0x100000000ULL / block) * block;
        self->left = TAILS_A_BLOCK;
    }
    else {
        self->number += STEP;
    }
    self->left--;
    unsigned long long value = (unsigned long long)self->process << 32 | self->number;
    char *text = PyUnicode_DATA(tail);
    for (int i = TAIL_CHARACTERS - 1; i >= 0; i--, value >>= 4) {
        text[i] = hex_digits[value & 15];
    }
    return tail;
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
    unsigned long long process, block;
    if (!PyArg_ParseTuple(args, "KK", &process, &block)) {
        return NULL;
    }
    if (process > 0xffffffffULL) {
        PyErr_SetString(PyExc_ValueError, "the process part has 32 bits");
        return NULL;
    }
    self->process = (unsigned int)process;
    self->next_block = block;
    self->left = 0;
    Py_RETURN_NONE;
}

static PyObject *
counted_ids_take_block(CountedIds *self, PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromUnsignedLongLong(take_block(self));
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
    {"_begin", (PyCFunction)counted_ids_begin, METH_VARARGS, PyDoc_STR("Begin anew: the process part, and a block.")},
    {"_take_block", (PyCFunction)counted_ids_take_block, METH_NOARGS, PyDoc_STR("A block that nobody else uses.")},
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
    {Py_tp_doc, PyDoc_STR("Second halves of records' ids; see chest.record_id.")},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_dealloc, ids_dealloc},
    {Py_tp_methods, counted_ids_methods},
    {0, NULL},
};

static PyType_Spec random_ids_spec = {
    .name = "chest.speedups._native.RandomIds",
    .basicsize = sizeof(RandomIds),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = random_ids_slots,
};

static PyType_Spec counted_ids_spec = {
    .name = "chest.speedups._native.CountedIds",
    .basicsize = sizeof(CountedIds),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = counted_ids_slots,
};

#endif
