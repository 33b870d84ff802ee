/* chest.speedups._native: what every request pays for, without a line of Python.
 *
 * Optional. Where it cannot be compiled, or is not wanted (WSGI_CHEST_PURE_PYTHON=1 at its installation), the same is done by
 * `chest.request` and `chest.ring`, which say how and why. It relies on the interpreter's lock, and is not built where there is none.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#ifdef Py_GIL_DISABLED
#error "there is no interpreter lock to rely on: Chest does without"
#endif
#ifndef __linux__
#error "time.perf_counter_ns has another clock here: Chest does without"
#endif

#include "ids.h"
#include "notes.h"
#include "offering.h"
#include "records.h"
#include "segment.h"
#include "serving.h"
#include "slot.h"
#include "start_response.h"
#include "stream.h"

static const struct {
    PyObject **where;
    const char *text;
} texts[] = {
    {&key_path, "PATH_INFO"},
    {&key_script, "SCRIPT_NAME"},
    {&key_method, "REQUEST_METHOD"},
    {&key_trace, "HTTP_TRACEPARENT"},
    {&key_upgrade, "HTTP_UPGRADE"},
    {&key_context, "chest.context"},
    {&name_serve, "_serve"},
    {&name_ended, "_ended"},
    {&name_failed, "_failed"},
    {&name_offer_line, "_offer_line"},
    {&name_finish, "finish"},
    {&name_went_wrong, "went_wrong"},
    {&name_begin, "begin"},
    {&name_end, "end"},
    {&name_is_complete, "is_complete"},
    {&name_has_more, "has_more"},
    {&name_at_end, "at_end"},
    {&name_route, "route"},
    {&name_known_attributes, "known_attributes"},
    {&name_request_id, "request_id"},
    {&name_failed_stream, "failed"},
    {&name_end_unusually, "_end_unusually"},
    {&name_abandoned, "_abandoned"},
    {&name_ask_application, "_ask_application"},
};

static int
add_type(PyObject *module, PyType_Spec *spec, PyObject *base, PyTypeObject **where)
{
    PyObject *type = PyType_FromModuleAndSpec(module, spec, base);
    if (type == NULL) {
        return -1;
    }
    if (*where == NULL) { /* kept for good, as the texts are: in another interpreter of the process they are found again */
        *where = (PyTypeObject *)Py_NewRef(type);
    }
    int is_added = PyModule_AddType(module, *where);
    Py_DECREF(type);
    return is_added;
}

static int
module_exec(PyObject *module)
{
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (*texts[i].where == NULL && (*texts[i].where = PyUnicode_InternFromString(texts[i].text)) == NULL) {
            return -1;
        }
    }
    if (nothing == NULL && (nothing = PyTuple_New(0)) == NULL) {
        return -1;
    }
    PyObject *mapping = segment_base();
    int is_added = mapping == NULL ? -1 : add_type(module, &segment_spec, mapping, &segment_type);
    Py_XDECREF(mapping);
    if (is_added < 0 || add_type(module, &offering_spec, NULL, &offering_type) < 0
        || add_type(module, &random_ids_spec, NULL, &random_ids_type) < 0
        || add_type(module, &counted_ids_spec, NULL, &counted_ids_type) < 0
        || add_type(module, &notes_spec, NULL, &notes_type) < 0 || add_type(module, &slot_spec, NULL, &slot_type) < 0
        || add_type(module, &start_response_spec, NULL, &start_response_type) < 0
        || add_type(module, &serving_spec, NULL, &serving_type) < 0
        || add_type(module, &stream_spec, NULL, &stream_type) < 0) {
        return -1;
    }
    return 0;
}

static PyObject *
perf_counter_ns(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromLongLong(now_ns(CLOCK_MONOTONIC));
}

static PyMethodDef functions[] = {
    {"perf_counter_ns", perf_counter_ns, METH_NOARGS,
     PyDoc_STR("time.perf_counter_ns, of the very clock that is read in here: also where a test has put another in its place.")},
    {"records_of", records_of, METH_VARARGS, PyDoc_STR("The records of rows; see chest.row.record_of.")},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_SUPPORTED}, /* of one lock */
#endif
    {0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "chest.speedups._native",
    .m_doc = PyDoc_STR("What every request pays for, without a line of Python."),
    .m_size = 0,
    .m_methods = functions,
    .m_slots = module_slots,
};

PyMODINIT_FUNC
PyInit__native(void)
{
    return PyModuleDef_Init(&module);
}
