/* InFlightSlots: the slots that have no owner, so that taking one is one load. See chest/ring/in_flight.py. */
#ifndef CHEST_IN_FLIGHT_SLOTS_H
#define CHEST_IN_FLIGHT_SLOTS_H

#include <Python.h>

#include <structmember.h>

#include "system/collected.h"

typedef struct {
    PyObject_HEAD
    PyObject *idle;
} InFlightSlots;

static PyTypeObject *in_flight_slots_type;

#define EACH_OF_IN_FLIGHT_SLOTS(do) do(idle)

COLLECTED(in_flight_slots, InFlightSlots, EACH_OF_IN_FLIGHT_SLOTS)

static PyMemberDef in_flight_slots_members[] = {
    {"idle", T_OBJECT_EX, offsetof(InFlightSlots, idle), 0, PyDoc_STR("Slots that have no owner; another list after each open.")},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot in_flight_slots_slots[] = {
    {Py_tp_doc, PyDoc_STR("Which requests are being served; see chest.ring.in_flight.")},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_dealloc, in_flight_slots_dealloc},
    {Py_tp_traverse, in_flight_slots_traverse},
    {Py_tp_clear, in_flight_slots_clear},
    {Py_tp_members, in_flight_slots_members},
    {0, NULL},
};

static PyType_Spec in_flight_slots_spec = {
    .name = "chest.native._native.InFlightSlots",
    .basicsize = sizeof(InFlightSlots),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = in_flight_slots_slots,
};

#endif
