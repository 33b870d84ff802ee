/* Termination: a SIGTERM whose default action would end the process at once ends it when its records are delivered.
 *
 * The handler wakes the thread that delivers, and arms a timer that sends a second SIGTERM. The system puts the default action back
 * as it calls the handler (SA_RESETHAND), so that the second SIGTERM ends the process whatever its threads do.
 *
 * It is installed in the place of the default action and of nothing else, and Python's `signal` module does not know of it:
 * `getsignal` answers SIG_DFL, and a handler that is set later takes its place.
 */
#ifndef CHEST_TERMINATION_H
#define CHEST_TERMINATION_H

#include <Python.h>

#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

static atomic_int terminated_pid; /* the process in which the handler delivers; in a child that it forks it does not */
static atomic_int termination_came;
static atomic_llong patience_ns;
static sem_t termination_or_end;
static timer_t end_of_patience;

static void
die_of_termination(void)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)kill(getpid(), SIGTERM);
}

/* Only calls that are safe in a signal handler, in any thread. */
static void
on_termination(int Py_UNUSED(number))
{
    int error = errno;
    long long ns = atomic_load(&patience_ns);
    struct itimerspec patience = {.it_value = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000}};
    if (atomic_load(&terminated_pid) != getpid() || atomic_exchange(&termination_came, 1)
        || timer_settime(end_of_patience, 0, &patience, NULL) != 0) {
        die_of_termination();
    }
    else {
        (void)sem_post(&termination_or_end);
    }
    errno = error;
}

static int
is_own_action(const struct sigaction *action)
{
    return !(action->sa_flags & SA_SIGINFO) && action->sa_handler == on_termination;
}

/* 1 if the handler is installed. One that the process has from its parent is this process's from now on. */
static int
termination_is_caught(int pid)
{
    struct sigaction before, replaced, action = {.sa_handler = on_termination};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGTERM};
    if (pid == 1 || sigaction(SIGTERM, NULL, &before) != 0 || (before.sa_handler != SIG_DFL && !is_own_action(&before))) {
        return 0; /* the system ignores the default action in process 1 */
    }
    if (sem_init(&termination_or_end, 0, 0) != 0 || timer_create(CLOCK_MONOTONIC, &event, &end_of_patience) != 0) {
        return 0;
    }
    action.sa_flags = (int)(SA_RESETHAND | SA_RESTART | SA_ONSTACK);
    (void)sigemptyset(&action.sa_mask);
    atomic_store(&termination_came, 0);
    atomic_store(&terminated_pid, pid);
    if (sigaction(SIGTERM, &action, &replaced) == 0) {
        if (replaced.sa_handler == SIG_DFL || is_own_action(&replaced)) {
            return 1;
        }
        (void)sigaction(SIGTERM, &replaced, NULL); /* set by code that holds no interpreter's lock, in this very moment */
    }
    atomic_store(&terminated_pid, 0);
    (void)timer_delete(end_of_patience);
    return 0;
}

static PyObject *
catch_termination(PyObject *Py_UNUSED(module), PyObject *seconds)
{
    double patience = PyFloat_AsDouble(seconds);
    if (patience == -1.0 && PyErr_Occurred()) {
        return NULL;
    }
    long long ns = (long long)(patience * 1e9);
    int pid = (int)getpid(), is_new = atomic_load(&terminated_pid) != pid;
    if (is_new || ns > atomic_load(&patience_ns)) {
        atomic_store(&patience_ns, ns > 0 ? ns : 1); /* 0 would be a timer that never ends */
    }
    /* A thread that waits would keep another interpreter than the first from its end. */
    int is_first = PyInterpreterState_Get() == PyInterpreterState_Main();
    return PyBool_FromLong(is_new && is_first && termination_is_caught(pid));
}

static PyObject *
await_termination(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    int result;
    Py_BEGIN_ALLOW_THREADS
    do {
        result = sem_wait(&termination_or_end);
    } while (result != 0 && errno == EINTR);
    Py_END_ALLOW_THREADS
    return PyBool_FromLong(result == 0 && atomic_load(&termination_came));
}

/* 1 if no segment was written to since: `places` are pairs of a segment and its position then. */
static int
is_unwritten_since(PyObject *places)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(places); i++) {
        PyObject *segment, *told;
        Py_ssize_t was;
        if (!PyArg_ParseTuple(PyTuple_GET_ITEM(places, i), "On", &segment, &was)
            || (told = PyObject_CallMethod(segment, "tell", NULL)) == NULL) {
            return 0;
        }
        Py_ssize_t now = PyLong_AsSsize_t(told);
        Py_DECREF(told);
        if (now != was) {
            return 0;
        }
    }
    return 1;
}

/* The interpreter's lock is not given up from the look at the rings to the end: no request can be recorded, and answered, in a
 * file that is removed. `tell` of a segment is in C and gives it up neither. */
static PyObject *
terminate(PyObject *Py_UNUSED(module), PyObject *rings)
{
    for (Py_ssize_t i = 0; PyTuple_Check(rings) && i < PyTuple_GET_SIZE(rings); i++) {
        PyObject *places, *paths, *ring = PyTuple_GET_ITEM(rings, i);
        if (ring != Py_None && PyArg_ParseTuple(ring, "O!O!", &PyTuple_Type, &places, &PyTuple_Type, &paths)
            && is_unwritten_since(places)) {
            for (Py_ssize_t j = 0; j < PyTuple_GET_SIZE(paths); j++) {
                const char *path = PyBytes_AsString(PyTuple_GET_ITEM(paths, j));
                if (path != NULL) {
                    (void)unlink(path);
                }
            }
        }
        PyErr_Clear(); /* such as of a segment that another thread has closed: its ring is left as it is */
    }
    sigset_t signals;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
    (void)kill(getpid(), SIGTERM);
    (void)timer_delete(end_of_patience); /* a handler that was set meanwhile has the signal */
    Py_RETURN_NONE;
}

static PyObject *
release_termination(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    struct sigaction now, action = {.sa_handler = SIG_DFL};
    (void)sigemptyset(&action.sa_mask);
    if (sigaction(SIGTERM, NULL, &now) == 0 && is_own_action(&now)) {
        (void)sigaction(SIGTERM, &action, NULL);
    }
    atomic_store(&terminated_pid, 0);
    (void)sem_post(&termination_or_end);
    Py_RETURN_NONE;
}

#endif
