/* Preloaded by scripts/with_clock.py: shifts the wall clock of a process and its children by CLOCK_SHIFT_SECONDS.
   Monotonic clocks and sleeps stay as they are, so time-outs work. File times are shifted both ways, so that a file written now is "now". */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <utime.h>

static long shift(void) {
    static long seconds;
    static int is_read;
    if (!is_read) {
        const char *text = getenv("CLOCK_SHIFT_SECONDS");
        seconds = text ? atol(text) : 0;
        is_read = 1;
    }
    return seconds;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int clock_gettime(clockid_t clock, struct timespec *at) {
    static __typeof__(&clock_gettime) real;
    if (!real) real = REAL(clock_gettime);
    int result = real(clock, at);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI)) at->tv_sec += shift();
    return result;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    static __typeof__(&gettimeofday) real;
    if (!real) real = REAL(gettimeofday);
    int result = real(at, zone);
    if (result == 0) at->tv_sec += shift();
    return result;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}

static int shifted(int result, struct stat *info) {
    if (result == 0) {
        info->st_mtim.tv_sec += shift();
        info->st_atim.tv_sec += shift();
        info->st_ctim.tv_sec += shift();
    }
    return result;
}

int stat(const char *restrict path, struct stat *restrict info) { return shifted(REAL(stat)(path, info), info); }
int lstat(const char *restrict path, struct stat *restrict info) { return shifted(REAL(lstat)(path, info), info); }
int fstat(int file, struct stat *info) { return shifted(REAL(fstat)(file, info), info); }
int fstatat(int folder, const char *restrict path, struct stat *restrict info, int flags) {
    return shifted(REAL(fstatat)(folder, path, info, flags), info);
}
int stat64(const char *restrict path, struct stat64 *restrict info) { return shifted(REAL(stat64)(path, info), (struct stat *)info); }
int lstat64(const char *restrict path, struct stat64 *restrict info) { return shifted(REAL(lstat64)(path, info), (struct stat *)info); }
int fstat64(int file, struct stat64 *info) { return shifted(REAL(fstat64)(file, info), (struct stat *)info); }
int fstatat64(int folder, const char *restrict path, struct stat64 *restrict info, int flags) {
    return shifted(REAL(fstatat64)(folder, path, info, flags), (struct stat *)info);
}

static const struct timespec *unshifted(const struct timespec given[2], struct timespec kept[2]) {
    if (!given) return NULL;
    for (int index = 0; index < 2; index++) {
        kept[index] = given[index];
        if (given[index].tv_nsec != UTIME_NOW && given[index].tv_nsec != UTIME_OMIT) kept[index].tv_sec -= shift();
    }
    return kept;
}

int utimensat(int folder, const char *path, const struct timespec times[2], int flags) {
    struct timespec kept[2];
    return REAL(utimensat)(folder, path, unshifted(times, kept), flags);
}

int futimens(int file, const struct timespec times[2]) {
    struct timespec kept[2];
    return REAL(futimens)(file, unshifted(times, kept));
}
