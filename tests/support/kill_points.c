/* Preloaded into a process and its children: counts every operation that changes something below a folder, and at the
   k-th kills the whole process group, or lets it fail with an error of the system. A write that is chosen to die in is
   half done first; of the others nothing is. Errors go on from the k-th operation, or hit that one only; what deletes
   is spared then.

   KILL_POINTS_FOLDER   absolute path of the folder
   KILL_POINTS_COUNTER  file of 32 bytes, shared by all processes: operations so far, the one that is chosen (0: none),
                        the number of the error (0: death), and 1 for errors that do not go on
   KILL_POINTS_LOG      where each operation is written down, a line each

   A process that was started without these counts nothing until `kill_points_begin` is called with them.

   What the C library does inside itself (fopen, fwrite) does not pass through its own symbols, so stdio is seen by its
   functions. Pages that are mapped and written are not seen: the kernel writes them when it likes. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static const char *folder;
static size_t folder_length;
static uint64_t *shared;
static int log_file = -1;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

void kill_points_begin(const char *below, const char *counter, const char *log) {
    if (!below || !counter) return;
    folder = strdup(below);
    folder_length = strlen(folder);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, counter, O_RDWR | O_CLOEXEC, 0);
    if (fd < 0) { folder = NULL; return; }
    shared = mmap(NULL, 32, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    syscall(SYS_close, fd);
    if (shared == MAP_FAILED) folder = NULL;
    if (log) log_file = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
}

__attribute__((constructor)) static void begin(void) {
    kill_points_begin(getenv("KILL_POINTS_FOLDER"), getenv("KILL_POINTS_COUNTER"), getenv("KILL_POINTS_LOG"));
}

static int below(const char *path) {
    return strncmp(path, folder, folder_length) == 0 && (path[folder_length] == '/' || !path[folder_length]);
}

/* The absolute path of a name as a call was given it; 0 when it is not below the folder. */
static int named(int directory, const char *path, char *out) {
    if (!folder || !path) return 0;
    if (path[0] == '/') return below(path) && snprintf(out, 4096, "%s", path) > 0;
    char base[4096], link[64];
    ssize_t length;
    if (directory == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
    else snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
    if ((length = readlink(link, base, sizeof base - 1)) <= 0) return 0;
    base[length] = 0;
    return snprintf(out, 4096, "%.2000s/%.2000s", base, path) > 0 && below(out);
}

static int opened(int fd, char *out) {
    char link[64];
    if (!folder || fd < 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, out, 4095);
    if (length <= 0) return 0;
    out[length] = 0;
    return below(out);
}

static void die(void) {
    kill(0, SIGKILL);
    for (;;) pause();
}

/* Counts one operation; true when it is chosen to fail, with errno set. One that is chosen to die in does so here, but
   for writes, which are half done first (`half`). */
static int chosen(const char *what, const char *path, int *half) {
    int before = errno;
    uint64_t number = __atomic_add_fetch(&shared[0], 1, __ATOMIC_SEQ_CST);
    if (log_file >= 0) {
        char line[4300];
        int length = snprintf(line, sizeof line, "%s %s\n", what, path + folder_length);
        syscall(SYS_write, log_file, line, (size_t)length);
    }
    errno = before;
    if (!shared[2]) {
        if (number == shared[1] && !half) die();
        if (half) *half = number == shared[1];
        return 0;
    }
    int hit = shared[1] && (shared[3] ? number == shared[1] : number >= shared[1]);
    if (!hit || !strcmp(what, "unlink") || !strcmp(what, "rmdir")) return 0;
    errno = (int)shared[2];
    return 1;
}

static int at(const char *what, int directory, const char *path) {
    char whole[4096];
    return named(directory, path, whole) && chosen(what, whole, NULL);
}

/* The same, where it changes something: a folder is made that is not there, a file is deleted that is. */
static int at_if(int there, const char *what, int directory, const char *path) {
    char whole[4096];
    int before = errno;
    if (!named(directory, path, whole)) return 0;
    int is_there = syscall(SYS_faccessat, AT_FDCWD, whole, F_OK) == 0;
    errno = before;
    return is_there == there && chosen(what, whole, NULL);
}

static int at_file(const char *what, int fd) {
    char whole[4096];
    return opened(fd, whole) && chosen(what, whole, NULL);
}

static int at_write(int fd, int *half) {
    char whole[4096];
    *half = 0;
    return opened(fd, whole) && chosen("write", whole, half);
}

#define CHANGES(flags) ((flags) & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND))
#define MODE(flags)                                                                                                    \
    mode_t mode = 0;                                                                                                   \
    if ((flags) & (O_CREAT | O_TMPFILE)) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); }

int open(const char *path, int flags, ...) { MODE(flags); if (CHANGES(flags) && at("open", AT_FDCWD, path)) return -1; return REAL(open)(path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags); if (CHANGES(flags) && at("open", AT_FDCWD, path)) return -1; return REAL(open64)(path, flags, mode); }
int openat(int d, const char *path, int flags, ...) { MODE(flags); if (CHANGES(flags) && at("open", d, path)) return -1; return REAL(openat)(d, path, flags, mode); }
int openat64(int d, const char *path, int flags, ...) { MODE(flags); if (CHANGES(flags) && at("open", d, path)) return -1; return REAL(openat64)(d, path, flags, mode); }
int creat(const char *path, mode_t mode) { return at("open", AT_FDCWD, path) ? -1 : REAL(creat)(path, mode); }
int creat64(const char *path, mode_t mode) { return at("open", AT_FDCWD, path) ? -1 : REAL(creat64)(path, mode); }
FILE *fopen(const char *path, const char *how) { return strpbrk(how, "wa+") && at("open", AT_FDCWD, path) ? NULL : REAL(fopen)(path, how); }
FILE *fopen64(const char *path, const char *how) { return strpbrk(how, "wa+") && at("open", AT_FDCWD, path) ? NULL : REAL(fopen64)(path, how); }

ssize_t write(int fd, const void *bytes, size_t count) {
    int half;
    if (at_write(fd, &half)) return -1;
    if (half) { REAL(write)(fd, bytes, count / 2); die(); }
    return REAL(write)(fd, bytes, count);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) {
    int half;
    if (at_write(fd, &half)) return -1;
    if (half) { REAL(pwrite)(fd, bytes, count / 2, offset); die(); }
    return REAL(pwrite)(fd, bytes, count, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) {
    int half;
    if (at_write(fd, &half)) return -1;
    if (half) { REAL(pwrite64)(fd, bytes, count / 2, offset); die(); }
    return REAL(pwrite64)(fd, bytes, count, offset);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    int half;
    if (at_write(fd, &half)) return -1;
    if (half) { REAL(writev)(fd, parts, count / 2); die(); }
    return REAL(writev)(fd, parts, count);
}

size_t fwrite(const void *bytes, size_t size, size_t count, FILE *file) {
    int half;
    if (at_write(fileno(file), &half)) return 0;
    if (half) {
        REAL(fwrite)(bytes, size, count / 2, file);
        fflush(file);
        die();
    }
    return REAL(fwrite)(bytes, size, count, file);
}

ssize_t sendfile(int out, int in, off_t *offset, size_t count) { return at_file("write", out) ? -1 : REAL(sendfile)(out, in, offset, count); }
ssize_t sendfile64(int out, int in, off64_t *offset, size_t count) { return at_file("write", out) ? -1 : REAL(sendfile64)(out, in, offset, count); }
int ftruncate(int fd, off_t size) { return at_file("truncate", fd) ? -1 : REAL(ftruncate)(fd, size); }
int ftruncate64(int fd, off64_t size) { return at_file("truncate", fd) ? -1 : REAL(ftruncate64)(fd, size); }
int posix_fallocate(int fd, off_t from, off_t size) { return at_file("truncate", fd) ? errno : REAL(posix_fallocate)(fd, from, size); }
int posix_fallocate64(int fd, off64_t from, off64_t size) { return at_file("truncate", fd) ? errno : REAL(posix_fallocate64)(fd, from, size); }
int fsync(int fd) { return at_file("fsync", fd) ? -1 : REAL(fsync)(fd); }
int fdatasync(int fd) { return at_file("fsync", fd) ? -1 : REAL(fdatasync)(fd); }
int rename(const char *from, const char *to) { return at("rename", AT_FDCWD, to) ? -1 : REAL(rename)(from, to); }
int renameat(int d, const char *from, int e, const char *to) { return at("rename", e, to) ? -1 : REAL(renameat)(d, from, e, to); }
int renameat2(int d, const char *from, int e, const char *to, unsigned flags) { return at("rename", e, to) ? -1 : REAL(renameat2)(d, from, e, to, flags); }
int unlink(const char *path) { return at_if(1, "unlink", AT_FDCWD, path) ? -1 : REAL(unlink)(path); }
int unlinkat(int d, const char *path, int flags) { return at_if(1, flags & AT_REMOVEDIR ? "rmdir" : "unlink", d, path) ? -1 : REAL(unlinkat)(d, path, flags); }
int remove(const char *path) { return at_if(1, "unlink", AT_FDCWD, path) ? -1 : REAL(remove)(path); }
int rmdir(const char *path) { return at_if(1, "rmdir", AT_FDCWD, path) ? -1 : REAL(rmdir)(path); }
int mkdir(const char *path, mode_t mode) { return at_if(0, "mkdir", AT_FDCWD, path) ? -1 : REAL(mkdir)(path, mode); }
int mkdirat(int d, const char *path, mode_t mode) { return at_if(0, "mkdir", d, path) ? -1 : REAL(mkdirat)(d, path, mode); }
