/* Faults of the machine, preloaded into the server under test, or into its Redis: its disk hangs, is full or fails, its clocks are moved.
 * Nothing happens by itself: the test writes what is wrong into a file that is mapped here, while the server runs. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* The file of these calls; the others go on as ever. */
#define STORE "inventor.redb"

enum disk { WELL, HANGING, FULL, FAILING };

/* The mapped file, in the order of its numbers; faults.rs knows the same order. */
static volatile struct {
    int64_t disk;
    /* Seconds by which each clock is ahead. */
    int64_t realtime, monotonic, boottime;
    /* Written here: the process that has loaded this, and how many calls have met a fault. */
    int64_t attached, met;
} *faults;

__attribute__((constructor)) static void attach(void) {
    int file = open(getenv("FAULTS"), O_RDWR | O_CLOEXEC);
    void *page = mmap(NULL, sizeof *faults, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (file < 0 || page == MAP_FAILED) abort();
    close(file);
    faults = page;
    faults->attached = getpid();
}

typedef long (*system_call)(long, ...);

/* The function for system calls as it is without this library. */
static system_call kernel(void) {
    static system_call found;
    if (!found) found = (system_call)dlsym(RTLD_NEXT, "syscall");
    return found;
}

/* Waits while the disk hangs. The error that the call then ends with, or 0. `needs_room` is whether it writes. */
static int fault(int concerns_store, int needs_room) {
    if (!faults || !concerns_store || faults->disk == WELL) return 0;
    if (faults->disk != FULL || needs_room) __sync_fetch_and_add(&faults->met, 1);
    while (faults->disk == HANGING) kernel()(SYS_nanosleep, &(struct timespec){.tv_nsec = 1000000}, NULL);
    return faults->disk == FAILING ? EIO : faults->disk == FULL && needs_room ? ENOSPC : 0;
}

static int is_store(int file) {
    char link[32], path[4096];
    if (!faults || faults->disk == WELL) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length < 0 ? 0 : length] = 0;
    return strstr(path, STORE) != NULL;
}

#define UNLESS_FAULTY(concerns_store, needs_room, ...) \
    do { \
        int error = fault(concerns_store, needs_room); \
        if (!error) return kernel()(__VA_ARGS__); \
        errno = error; \
        return -1; \
    } while (0)

ssize_t pread64(int file, void *bytes, size_t count, off64_t at) {
    UNLESS_FAULTY(is_store(file), 0, SYS_pread64, file, bytes, count, at);
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t at) {
    UNLESS_FAULTY(is_store(file), 1, SYS_pwrite64, file, bytes, count, at);
}

int ftruncate64(int file, off64_t length) {
    struct stat now;
    int grows = fstat(file, &now) == 0 && length > now.st_size;
    UNLESS_FAULTY(is_store(file), grows, SYS_ftruncate, file, length);
}

int fdatasync(int file) {
    UNLESS_FAULTY(is_store(file), 0, SYS_fdatasync, file);
}

int fsync(int file) {
    UNLESS_FAULTY(is_store(file), 0, SYS_fsync, file);
}

int flock(int file, int operation) {
    UNLESS_FAULTY(is_store(file), 0, SYS_flock, file, operation);
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    UNLESS_FAULTY(strstr(path, STORE) != NULL, flags & O_CREAT, SYS_openat, AT_FDCWD, path, flags, mode);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    long outcome = kernel()(SYS_clock_gettime, clock, now);
    if (faults && outcome == 0) {
        now->tv_sec += clock == CLOCK_REALTIME    ? faults->realtime
                       : clock == CLOCK_MONOTONIC ? faults->monotonic
                       : clock == CLOCK_BOOTTIME  ? faults->boottime
                                                  : 0;
    }
    return outcome;
}

/* Redis asks by this one. */
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec time;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &time)) return -1;
    *now = (struct timeval){.tv_sec = time.tv_sec, .tv_usec = time.tv_nsec / 1000};
    return 0;
}

/* The standard library waits for locks by this function, until a time on the clock that is moved above. */
long syscall(long number, ...) {
    va_list rest;
    long a[6];
    va_start(rest, number);
    for (int at = 0; at < 6; at++) a[at] = va_arg(rest, long);
    va_end(rest);
    struct timespec until;
    int is_wait = number == SYS_futex && (a[1] & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET;
    if (faults && is_wait && a[3] && !(a[1] & FUTEX_CLOCK_REALTIME)) {
        until = *(struct timespec *)a[3];
        until.tv_sec = until.tv_sec > faults->monotonic ? until.tv_sec - faults->monotonic : 0;
        a[3] = (long)&until;
    }
    return kernel()(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
