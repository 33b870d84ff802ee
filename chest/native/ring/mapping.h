/* Mapping: files that are mapped without a descriptor, which a program that closes all it finds would close. See chest/ring/mapping.py. */
#ifndef CHEST_MAPPING_H
#define CHEST_MAPPING_H

#include <Python.h>

#include <sys/mman.h>
#include <unistd.h>

#include "system/guard.h"
#include "ring/segment.h"

/* 0 if all of it is in the file; -1 with an exception. */
static int
content_is_kept(const char *content, Py_ssize_t size, int descriptor, off_t offset)
{
    for (Py_ssize_t done = 0; done < size;) {
        ssize_t count = pwrite(descriptor, content + done, (size_t)(size - done), offset + done);
        if (count < 0 && errno == EFAULT) { /* a page that its file no longer has: the guard puts another there */
            (void)*(const volatile char *)(content + done);
            count = pwrite(descriptor, content + done, 1, offset + done);
        }
        if (count <= 0 && errno != EINTR) {
            (void)PyErr_SetFromErrno(PyExc_OSError);
            return -1;
        }
        done += count > 0 ? count : 0;
    }
    return 0;
}

/* The interpreter's lock is held throughout: another thread writes into the segment either before this, or into the file. */
static PyObject *
map_file(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *segment;
    int descriptor, keeps;
    long long offset;
    Py_buffer view;
    if (!PyArg_ParseTuple(args, "O!iLp", segment_type, &segment, &descriptor, &offset, &keeps)
        || PyObject_GetBuffer(segment, &view, PyBUF_WRITABLE) < 0) {
        return NULL;
    }
    Segment *self = segment_of(segment);
    Guarded *range = self->range == NULL ? guarded(view.buf, (size_t)view.len) : self->range;
    int is_mapped = range != NULL;
    self->range = range;
    if (is_mapped && keeps) {
        is_mapped = content_is_kept(view.buf, view.len, descriptor, (off_t)offset) == 0;
    }
    if (is_mapped) {
        const int flags = MAP_SHARED | MAP_FIXED;
        is_mapped = mmap(view.buf, (size_t)view.len, PROT_READ | PROT_WRITE, flags, descriptor, (off_t)offset) != MAP_FAILED;
        if (!is_mapped) {
            (void)PyErr_SetFromErrno(PyExc_OSError);
        }
    }
    PyBuffer_Release(&view);
    if (!is_mapped) {
        return NULL;
    }
    Py_RETURN_NONE;
}

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 and later; an older one refuses it */
#endif

/* Have these pages of a segment be in memory and writable. Without the interpreter's lock: it may take milliseconds. */
static PyObject *
fault_in(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *segment;
    Py_ssize_t begin, end;
    Py_buffer view;
    if (!PyArg_ParseTuple(args, "O!nn", segment_type, &segment, &begin, &end) || PyObject_GetBuffer(segment, &view, PyBUF_WRITABLE) < 0) {
        return NULL;
    }
    begin = begin / sysconf(_SC_PAGESIZE) * sysconf(_SC_PAGESIZE);
    char *memory = view.buf;
    int is_done = begin >= 0 && begin < end && end <= view.len;
    /* Before the lock is away: a thread may fork meanwhile, and the child could never unmap a mapping whose view is held. Pages
     * that are gone by then are refused by the kernel, and those of another mapping keep what they hold. */
    PyBuffer_Release(&view);
    if (is_done) {
        Py_BEGIN_ALLOW_THREADS
        is_done = madvise(memory + begin, (size_t)(end - begin), MADV_POPULATE_WRITE) == 0;
        Py_END_ALLOW_THREADS
    }
    return PyBool_FromLong(is_done);
}

/* A mapping that is never read and not inherited by children keeps the open file, and so its locks, for this process alone. */
static PyObject *
hold_file(PyObject *Py_UNUSED(module), PyObject *descriptor)
{
    int number = PyObject_AsFileDescriptor(descriptor);
    if (number < 0) {
        return NULL;
    }
    const size_t size = (size_t)sysconf(_SC_PAGESIZE);
    void *at = mmap(NULL, size, PROT_NONE, MAP_SHARED, number, 0);
    if (at == MAP_FAILED || madvise(at, size, MADV_DONTFORK) != 0) {
        (void)PyErr_SetFromErrno(PyExc_OSError);
        if (at != MAP_FAILED) {
            (void)munmap(at, size);
        }
        return NULL;
    }
    return PyLong_FromVoidPtr(at);
}

/* Not in a child: it has nothing there, or by now something else. */
static PyObject *
release_file(PyObject *Py_UNUSED(module), PyObject *address)
{
    void *at = PyLong_AsVoidPtr(address);
    if (at == NULL) {
        return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
    }
    (void)munmap(at, (size_t)sysconf(_SC_PAGESIZE));
    Py_RETURN_NONE;
}

#endif
