/* Guard: a mapped page that its file system no longer gives becomes memory, in the place of the SIGBUS that ends a process.
 *
 * A file that is cut under its mapping, or one on a full disk whose file system writes each block anew (btrfs, ZFS), has no page
 * for the next access. The handler puts a page of memory there, with what the old one held if that can still be read, and the
 * access is done again: whatever made it, C or Python, notices nothing. `faults` of the segment counts the pages.
 *
 * All other bus errors go to the handler that stood there before.
 */
#ifndef CHEST_GUARD_H
#define CHEST_GUARD_H

#include <Python.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

/* Made and changed with the interpreter's lock, read by the handler without: never freed, and used again when `begin` is 0. */
typedef struct Guarded {
    _Atomic(uintptr_t) begin;
    _Atomic(uintptr_t) end;
    atomic_int faults;
    struct Guarded *next;
} Guarded;

static _Atomic(Guarded *) all_guarded;
static struct sigaction action_before;
static int is_guarding;
static size_t page_bytes;

/* What the page holds, through a pipe: to read it from there is an error (EFAULT) and no signal. 1 if the new page has it. */
static int
page_is_copied(char *page, char *copy)
{
    int ends[2], is_copied = 0;
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0) {
        is_copied = write(ends[1], page, page_bytes) == (ssize_t)page_bytes && read(ends[0], copy, page_bytes) == (ssize_t)page_bytes;
        (void)close(ends[0]);
        (void)close(ends[1]);
    }
    else { /* no descriptor is left */
        struct iovec from = {page, page_bytes}, to = {copy, page_bytes};
        is_copied = process_vm_readv(getpid(), &to, 1, &from, 1, 0) == (ssize_t)page_bytes;
    }
    return is_copied;
}

/* Only calls of the system, as befits a signal handler. */
static int
page_is_replaced(char *page)
{
    char *fresh = mmap(NULL, page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (fresh == MAP_FAILED) {
        return 0;
    }
    (void)page_is_copied(page, fresh); /* else it is zeros, as the end of a file is */
    return mremap(fresh, page_bytes, page_bytes, MREMAP_MAYMOVE | MREMAP_FIXED, page) != MAP_FAILED;
}

static int
fault_is_mended(const siginfo_t *info)
{
    uintptr_t at = (uintptr_t)info->si_addr;
    if (info->si_code <= 0) { /* sent by a process */
        return 0;
    }
    for (Guarded *range = atomic_load(&all_guarded); range != NULL; range = range->next) {
        uintptr_t begin = atomic_load(&range->begin);
        if (begin != 0 && at >= begin && at < atomic_load(&range->end)) {
            atomic_fetch_add(&range->faults, 1);
            return page_is_replaced((char *)(at & ~(uintptr_t)(page_bytes - 1)));
        }
    }
    return 0;
}

/* Python's faulthandler, if it was enabled later, reports the fault, puts this handler back and sends the signal itself. Then
 * the access is done once more, and comes here. */
static int
is_sent_by_handler(const siginfo_t *info)
{
    return info->si_code == SI_TKILL && info->si_pid == getpid();
}

static void
on_bus_error(int number, siginfo_t *info, void *context)
{
    int error = errno;
    if (!is_sent_by_handler(info) && !fault_is_mended(info)) {
        if (action_before.sa_flags & SA_SIGINFO) {
            action_before.sa_sigaction(number, info, context);
        }
        else if (action_before.sa_handler != SIG_DFL && action_before.sa_handler != SIG_IGN) {
            action_before.sa_handler(number);
        }
        else {
            (void)sigaction(number, &action_before, NULL);
            if (info->si_code <= 0) {
                (void)raise(number); /* else the access is done again, and ends the process */
            }
        }
    }
    errno = error;
}

/* The handler is installed with the first mapping of a file. NULL with an exception if there is no memory. */
static Guarded *
guarded(char *begin, size_t size)
{
    if (!is_guarding) {
        struct sigaction action = {.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
        action.sa_sigaction = on_bus_error;
        (void)sigemptyset(&action.sa_mask);
        page_bytes = (size_t)sysconf(_SC_PAGESIZE);
        is_guarding = sigaction(SIGBUS, &action, &action_before) == 0;
    }
    Guarded *range = atomic_load(&all_guarded);
    while (range != NULL && atomic_load(&range->begin) != 0) {
        range = range->next;
    }
    if (range == NULL) {
        range = calloc(1, sizeof(Guarded));
        if (range == NULL) {
            (void)PyErr_NoMemory();
            return NULL;
        }
        range->next = atomic_load(&all_guarded);
        atomic_store(&all_guarded, range);
    }
    atomic_store(&range->faults, 0);
    atomic_store(&range->end, (uintptr_t)begin + size);
    atomic_store(&range->begin, (uintptr_t)begin);
    return range;
}

static void
unguarded(Guarded **range)
{
    if (*range != NULL) {
        atomic_store(&(*range)->begin, 0);
        *range = NULL;
    }
}

#endif
