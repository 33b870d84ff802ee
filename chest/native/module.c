/* chest.native._native: what every request pays for, without a line of Python.
 *
 * Optional. If it cannot be compiled, or is not wanted (WSGI_CHEST_PURE_PYTHON=1 at installation), the same is done by
 * `chest.request` and `chest.ring`, which say how and why. It relies on the interpreter's lock, and is not built for an interpreter without one.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#ifdef Py_GIL_DISABLED
#error "this interpreter has no lock to rely on: Chest uses its Python implementation"
#endif
#ifndef __linux__
#error "time.perf_counter_ns has another clock here: Chest does without"
#endif

#include "record/ids.h"
#include "ring/mapping.h"
#include "ring/fast_ring.h"
#include "record/encoded_records.h"
#include "record/flat_rows.h"
#include "ring/segment.h"
#include "request/fast_middleware.h"
#include "ring/slot.h"
#include "ring/tally.h"
#include "request/start_response.h"
#include "request/stream.h"
#include "flask/dispatch.h"
#include "system/termination.h"

static const struct {
    PyObject **where;
    const char *text;
} texts[] = {
    {&key_path, "PATH_INFO"},
    {&key_script, "SCRIPT_NAME"},
    {&key_method, "REQUEST_METHOD"},
    {&key_trace, "HTTP_TRACEPARENT"},
    {&key_scheme, "wsgi.url_scheme"},
    {&key_upgrade, "HTTP_UPGRADE"},
    {&key_context, ENVIRON_KEY},
    {&key_werkzeug, WERKZEUG_REQUEST},
    {&key_bottle, BOTTLE_ROUTE},
    {&name_serve, "_serve"},
    {&key_file_wrapper, "wsgi.file_wrapper"},
    {&key_sanitized, SANITIZED},
    {&key_url_scheme, URL_SCHEME},
    {&key_first_byte, TIME_TO_FIRST_BYTE},
    {&text_http, "http"},
    {&text_https, "https"},
    {&name_begin, "begin"},
    {&name_close, "close"},
    {&name_read, "read"},
    {&name_fileno, "fileno"},
    {&name_new_id, "_request_id"},
    {&name_at_end, "at_end"},
    {&name_ask_application, "_ask_application"},
    {&key_proxy_fix, "werkzeug.proxy_fix.orig"},
    {&name_request, "request"},
    {&name_environ, "environ"},
    {&name_url_rule, "url_rule"},
    {&name_rule, "rule"},
    {&name_endpoint, "endpoint"},
    {&name_g, "g"},
    {&name_dict, "__dict__"},
    {&name_response, "response"},
    {&name_on_close, "_on_close"},
    {&name_callbacks, "_callbacks"},
    {&name_gi_code, "gi_code"},
};

/* What Python says too: `chest.native.agree` refuses to import a module that says something else. */
static const struct {
    const char *name;
    long long number;
} numbers[] = {
    {"CHECK", CHECK}, {"SHORT_FIELDS", SHORT_FIELDS}, {"HTTP_FIELDS", HTTP_FIELDS}, {"ALL_FIELDS", ALL_FIELDS}, {"RECORD_FIELDS", RECORD_FIELDS},
    {"PATH_CHARACTERS", PATH_CHARACTERS}, {"ROUTE_CHARACTERS", ROUTE_CHARACTERS}, {"ID_CHARACTERS", ID_CHARACTERS},
    {"STEP", STEP}, {"SMALLEST_CARD", SMALLEST_CARD}, {"LARGEST_CARD", LARGEST_CARD}, {"DEPTH", DEPTH},
    {"MOST_ENTRIES", MOST_ENTRIES}, {"KEYS_PER_RECORD", KEYS_PER_RECORD}, {"MOST_NOTES", MOST_NOTES},
    {"MOST_WALKED", MOST_WALKED}, {"LINE_BYTES", LINE_BYTES}, {"TALLY_BUCKETS", TALLY_BUCKETS},
};

static const struct {
    const char *name;
    const char *text;
} names[] = {
    {"TIME_TO_FIRST_BYTE", TIME_TO_FIRST_BYTE}, {"URL_SCHEME", URL_SCHEME}, {"SAMPLE_RATE", SAMPLE_RATE},
    {"TRACE_FIELDS", TRACE_ID " " PARENT_SPAN_ID " " SPAN_ID},
    {"SANITIZED", SANITIZED}, {"USER", USER}, {"ENVIRON_KEY", ENVIRON_KEY},
    {"WERKZEUG_REQUEST", WERKZEUG_REQUEST}, {"BOTTLE_ROUTE", BOTTLE_ROUTE}, {"CACHE_CONTROL", CACHE_CONTROL},
    {"IMMUTABLE", IMMUTABLE}, {"TALLY_LAYOUT", TALLY_LAYOUT},
};

static int
add_constant(PyObject *constants, const char *name, PyObject *value)
{
    int is_set = value == NULL ? -1 : PyDict_SetItemString(constants, name, value);
    Py_XDECREF(value);
    return is_set;
}

static int
add_constants(PyObject *module)
{
    PyObject *constants = PyDict_New();
    int is_done = constants == NULL ? -1 : 0;
    for (size_t i = 0; is_done == 0 && i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        is_done = add_constant(constants, numbers[i].name, PyLong_FromLongLong(numbers[i].number));
    }
    for (size_t i = 0; is_done == 0 && i < sizeof(names) / sizeof(names[0]); i++) {
        is_done = add_constant(constants, names[i].name, PyUnicode_FromString(names[i].text));
    }
    if (is_done == 0) {
        is_done = PyModule_AddObjectRef(module, "constants", constants);
    }
    Py_XDECREF(constants);
    return is_done;
}

static int
add_type(PyObject *module, PyType_Spec *spec, PyObject *base, PyTypeObject **where)
{
    PyObject *type = PyType_FromModuleAndSpec(module, spec, base);
    if (type == NULL) {
        return -1;
    }
    if (*where == NULL) { /* kept for good, as the texts are */
        *where = (PyTypeObject *)Py_NewRef(type);
    }
    int is_added = PyModule_AddType(module, *where);
    Py_DECREF(type);
    return is_added;
}

/* Types and texts are the process's, kept for good: another interpreter of it has its requests served in Python. */
static int
is_main_interpreter(void)
{
    if (PyInterpreterState_Get() == PyInterpreterState_Main()) {
        return 1;
    }
    PyErr_SetString(PyExc_ImportError, "the compiled part is the main interpreter's: Chest does without it in this one");
    return 0;
}

static int
module_exec(PyObject *module)
{
    if (!is_main_interpreter()) {
        return -1;
    }
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (*texts[i].where == NULL && (*texts[i].where = PyUnicode_InternFromString(texts[i].text)) == NULL) {
            return -1;
        }
    }
    if (nothing == NULL && (nothing = PyTuple_New(0)) == NULL) {
        return -1;
    }
    if (only_close == NULL && (only_close = PyTuple_Pack(1, name_close)) == NULL) {
        return -1;
    }
    PyObject *mapping = segment_base();
    int is_added = mapping == NULL ? -1 : add_type(module, &segment_spec, mapping, &segment_type);
    Py_XDECREF(mapping);
    if (is_added < 0 || add_type(module, &fast_ring_spec, NULL, &fast_ring_type) < 0
        || add_type(module, &random_ids_spec, NULL, &random_ids_type) < 0
        || add_type(module, &counted_ids_spec, NULL, &counted_ids_type) < 0
        || add_type(module, &slot_spec, NULL, &slot_type) < 0
        || add_type(module, &metadata_spec, NULL, &metadata_type) < 0 || add_type(module, &dispatch_spec, NULL, &dispatch_type) < 0
        || add_type(module, &tally_spec, NULL, &tally_type) < 0
        || add_type(module, &start_response_spec, NULL, &start_response_type) < 0
        || add_type(module, &fast_middleware_spec, NULL, &fast_middleware_type) < 0
        || add_type(module, &stream_spec, NULL, &stream_type) < 0) {
        return -1;
    }
    return add_constants(module);
}

static PyObject *
perf_counter_ns(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromLongLong(now_ns(CLOCK_MONOTONIC));
}

static PyObject *
note_spans(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    notes_spans = 1;
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"note_spans", note_spans, METH_NOARGS, PyDoc_STR("Have each request ask for its span from now on; see chest.request.framework.")},
    {"map_file", map_file, METH_VARARGS, PyDoc_STR("As the function of this name in chest.ring.mapping.")},
    {"fault_in", fault_in, METH_VARARGS, PyDoc_STR("Have the pages of a segment from begin to end be in memory; True if they are.")},
    {"hold_file", hold_file, METH_O, PyDoc_STR("As the function of this name in chest.ring.mapping.")},
    {"release_file", release_file, METH_O, PyDoc_STR("As the function of this name in chest.ring.mapping.")},
    {"perf_counter_ns", perf_counter_ns, METH_NOARGS,
     PyDoc_STR("time.perf_counter_ns, of the very clock that is read in here: even if a test has put another in its place.")},
    {"may_hold_secret", text_may_hold_secret, METH_O, PyDoc_STR("As the function of this name in chest.record.secret_text.")},
    {"catch_termination", catch_termination, METH_O,
     PyDoc_STR("Have a SIGTERM that would end this process wake await_termination, and end it so many seconds later; True if so.")},
    {"await_termination", await_termination, METH_NOARGS,
     PyDoc_STR("Wait for that SIGTERM: True when it came, False after release_termination.")},
    {"terminate", terminate, METH_O,
     PyDoc_STR("Remove the files of rings that were not written since, and end this process by SIGTERM.")},
    {"release_termination", release_termination, METH_NOARGS,
     PyDoc_STR("Give SIGTERM its default action back, and end await_termination.")},
    {"records_of", records_of, METH_VARARGS, PyDoc_STR("The records of rows; see chest.record.row.record_of.")},
    {"encoded_records_of", encoded_records_of, METH_VARARGS, PyDoc_STR("The records of lines; see chest.record.row.encoded_record_of.")},
    {"flat_rows", flat_rows, METH_VARARGS, PyDoc_STR("As the function of this name in chest.chests.sql.sqlite.table.")},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
    {0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "chest.native._native",
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
